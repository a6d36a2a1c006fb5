from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from damcli.lid import log_lid
from damcli.storage import lids
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_anchors, read_embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lids import MadeOf, lids_path, read_lids, write_lids
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(12, 3)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_embeddings(
        tmp_path / "fewer.h5", Anchors.of(anchors().take(slice(0, 20)), kind="real-db")
    )
    write_pairs(tmp_path / "pairs.csv", people)
    (tmp_path / "two.csv").write_text("p000/0,p000/1\np001/0,p000/1\n")
    return tmp_path


def score(
    folder: Path, *options: object, pairs: str = "pairs.csv", of: str = "anchors.h5"
) -> Outcome:
    return damcli(
        *("score", folder / pairs, "-e", folder / "emb.h5", "-a", folder / of),
        *("-o", folder / "s.csv", "--force", "--resamples", "0", *options),
    )


def scores(folder: Path) -> bytes:
    return (folder / "s.csv").read_bytes()


def test_scores_are_the_same_with_kept_lids_and_without(folder: Path) -> None:
    before = (folder / "emb.h5").read_bytes()
    assert score(folder).code == 0
    plain = scores(folder)
    sidecar = folder / "emb.h5.lids.h5"
    assert not sidecar.exists()
    first = score(folder, "--keep-lids", pairs="two.csv")
    assert f"{sidecar}: keeps 3 more LIDs" in first.err
    second = score(folder, "--keep-lids")
    assert "LIDs of 3 of 36 embeddings are taken from it" in second.err
    assert "keeps 33 more" in second.err
    assert scores(folder) == plain
    third = score(folder)
    assert "LIDs of 36 of 36 embeddings are taken from it" in third.err
    assert scores(folder) == plain
    assert (folder / "emb.h5").read_bytes() == before
    (values,) = read_lids(sidecar).values()
    people, others = read_embeddings(folder / "emb.h5"), read_anchors(folder / "anchors.h5")
    assert (values == log_lid(people, others)).all()


def test_kept_lids_are_what_is_used(folder: Path) -> None:
    assert score(folder, "--keep-lids").code == 0
    plain = scores(folder)
    columns = read_lids(folder / "emb.h5.lids.h5")
    write_lids(folder / "emb.h5.lids.h5", {key: values + 1 for key, values in columns.items()})
    assert score(folder).code == 0
    assert scores(folder) != plain


def test_other_anchors_k_and_s_have_columns_of_their_own(folder: Path) -> None:
    ways = [{}, {"of": "fewer.h5"}, {"k": 3}, {"s": 2}]
    plain = []
    for keep in (False, True, False):
        for at, way in enumerate(ways):
            options = [
                part for name in ("k", "s") if name in way for part in (f"-{name}", way[name])
            ]
            done = score(
                folder, *options, *["--keep-lids"] * keep, of=str(way.get("of", "anchors.h5"))
            )
            assert done.code == 0, done.err
            if not plain[at : at + 1]:
                plain.append(scores(folder))
            assert scores(folder) == plain[at]
            if keep and at:
                assert ("with other anchors, k, s or damcli; not used" in done.err) is True
    found = read_lids(folder / "emb.h5.lids.h5")
    assert [(one.k, one.s) for one in found] == [(10, 1), (10, 1), (3, 1), (10, 2)]
    info = json.loads(damcli("info", folder / "emb.h5.lids.h5", "--json").out)
    assert [column["kept"] for column in info["columns"]] == [36] * 4
    assert "kept 36" in damcli("info", folder / "emb.h5.lids.h5").out


def test_lids_of_what_the_embeddings_were_before_are_not_used_and_dropped(folder: Path) -> None:
    assert score(folder, "--keep-lids").code == 0
    people = faces(12, 3)
    turned = Embeddings.from_arrays(people.vectors[:, ::-1], people.ids, people.subjects)
    write_embeddings(folder / "emb.h5", turned, force=True)
    (folder / "plain").mkdir()
    write_embeddings(folder / "plain" / "emb.h5", turned)
    done = score(folder, "--keep-lids")
    assert "holds LIDs of other embeddings; not used" in done.err
    assert len(read_lids(folder / "emb.h5.lids.h5")) == 1
    mine = scores(folder)
    assert score(folder, "-e", folder / "plain" / "emb.h5").code == 0
    assert scores(folder) == mine


def test_both_sides_keep_their_own(folder: Path) -> None:
    write_embeddings(folder / "gallery.h5", faces(12, 3))
    done = score(folder, "--keep-lids", "--gallery", folder / "gallery.h5")
    assert done.code == 0, done.err
    for name in ("emb.h5", "gallery.h5"):
        (values,) = read_lids(lids_path(folder / name)).values()
        assert 0 < np.isfinite(values).sum() < 36


def test_nothing_is_kept_where_ids_are_row_numbers(folder: Path) -> None:
    np.save(folder / "bare.npy", faces().vectors)
    (folder / "numbers.csv").write_text("0,1\n0,2\n")
    done = damcli(
        *("score", folder / "numbers.csv", "-e", folder / "bare.npy", "-a", folder / "anchors.h5"),
        *("-o", folder / "s.csv", "--keep-lids"),
    )
    assert done.code == 0, done.err
    assert not lids_path(folder / "bare.npy").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])


def scribble(path: Path) -> None:
    path.write_text("LIDs")


def lose(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["0"].attrs["k"]


def other_values(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["0"][3] = np.inf


@pytest.mark.parametrize("damage", [cut, scribble, lose, other_values])
def test_a_damaged_file_is_named_and_how_to_go_on(folder: Path, damage: object) -> None:
    assert score(folder, "--keep-lids").code == 0
    before = scores(folder)
    sidecar = folder / "emb.h5.lids.h5"
    damage(sidecar)  # type: ignore[operator]
    failed(score(folder), "emb.h5.lids.h5: a damaged file of LIDs", f"hint: remove {sidecar}")
    assert scores(folder) == before
    sidecar.unlink()
    assert score(folder).code == 0


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    assert score(folder, "--keep-lids").code == 0
    monkeypatch.setattr(lids, "open_for_reading", refuse)
    failed(score(folder), "emb.h5.lids.h5: may not be read", "hint: remove")


def test_another_file_in_its_place_is_refused(folder: Path) -> None:
    write_embeddings(folder / "emb.h5.lids.h5", faces())
    failed(score(folder), "emb.h5.lids.h5: holds damcli/embeddings; expected damcli/lids")


@pytest.mark.parametrize("options", [(), ("--lid", "pooled")])
def test_lids_that_are_not_taken_cannot_be_kept(folder: Path, options: tuple[str, ...]) -> None:
    done = damcli("score", folder / "pairs.csv", "-e", folder / "emb.h5", "--keep-lids", *options)
    assert done.code == 2
    assert "--keep-lids keeps LIDs that are taken from --anchors" in done.err


def test_a_column_of_another_version_is_another(tmp_path: Path) -> None:
    made_of = MadeOf("a", "b", 10, 1.0)
    older = made_of._replace(damcli_version="0.0.1")
    columns = {made_of: np.array([1.0, np.nan]), older: np.array([2.0, 3.0])}
    write_lids(tmp_path / "x.lids.h5", columns)
    found = read_lids(tmp_path / "x.lids.h5")
    assert list(found) == [made_of, older]
    np.testing.assert_array_equal(found[made_of], columns[made_of])
