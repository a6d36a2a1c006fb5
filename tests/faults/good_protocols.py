"""The official files of every protocol, as small as their readers allow."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from damcli.protocols import ijb_search
from damcli.protocols.ijb import IjbPairs
from damcli.protocols.ijb_search import SearchCounts
from damcli.protocols.opening import PROTOCOLS
from damcli.storage.hdf5 import write_embeddings
from tests import official
from tests.faces import faces
from tests.images import png

IJB_TEMPLATES = 24


def make(folder: Path) -> None:
    official.lfw(folder / "lfw" / "pairs.txt")
    official.rfw(folder / "rfw")
    official.calfw(folder / "calfw" / "pairs_CALFW.txt")
    official.cfp(folder / "cfp")
    official.agedb(folder / "agedb" / "04_FINAL_protocol_30_years.mat")
    rows = [f"{i}_a {i}_b {1 if i % 2 else -1}" for i in range(6000)]
    official.write(folder / "agedb_text" / "agedb_30_pair.txt", rows)
    official.ytf(folder / "ytf" / "splits.txt")
    bins = ([png(i) for i in range(24)], [True, False] * 6)
    (folder / "bins").mkdir()
    (folder / "bins" / "lfw.bin").write_bytes(pickle.dumps(bins, 2))
    _ijb(folder / "ijbc")


def _ijb(root: Path) -> None:
    meta = official.search_lists(root) / "meta"
    pairs = [(i, j) for i in range(IJB_TEMPLATES) for j in range(i)]
    labels = [f"{i} {j} {int(i % 12 == j % 12)}" for i, j in pairs]
    official.write(meta / "ijbc_template_pair_label.txt", labels)
    names = [f"{template}_{image}.jpg" for template in range(12) for image in range(2)]
    rows = [f"{name} {name.split('_')[0]} {600 + row}" for row, name in enumerate(names)]
    official.write(meta / "ijbc_face_tid_mid.txt", rows)
    points = [f"{name} 38 51 73 51 56 71 41 92 70 92 0.9" for name in names]
    official.write(meta / "ijbc_name_5pts_score.txt", points)
    # Galleries G1 and G2 hold the even and the odd templates from 100 on.
    ids = [*map(str, range(IJB_TEMPLATES)), *map(str, range(100, 112))]
    write_embeddings(root / "templates.h5", replace(faces(36, 1), ids=_objects(ids)))
    write_embeddings(root / "images.h5", replace(faces(12, 2), ids=_objects(names)))


def _objects(names: list[str]) -> object:
    import numpy as np

    return np.array(names, dtype=object)


@contextmanager
def small_ijb() -> Iterator[None]:
    """Let IJB-C be of as many templates as the files here."""
    pairs = IJB_TEMPLATES * (IJB_TEMPLATES - 1) // 2
    small = replace(PROTOCOLS["ijbc"], read=partial(IjbPairs, pairs=pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS, "ijbc", small)
        patch.setitem(ijb_search.SEARCHES, "ijbc", SearchCounts(24, {"G1": 6, "G2": 6}))
        yield
