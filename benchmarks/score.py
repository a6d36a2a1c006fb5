"""The whole of ``damcli score`` on a set of IJB-C's size, against a straightforward script."""

# ruff: noqa: E402

from __future__ import annotations

from damcli.processor import prefer_wide_products

prefer_wide_products()  # as the command does, before numpy is imported

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import faiss
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rounds import compare, row
from similarities import DIM, GALLERY, PAIRS, ROWS, gallery_by_probe
from sklearn.metrics import roc_curve

from damcli.evaluation import evaluate
from damcli.protocols.pairs import Coded, PairChunk
from damcli.scoring.score import score
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_anchors, read_embeddings
from damcli.storage.hdf5 import write_embeddings

ANCHORS, K, BATCH = 50_000, 10, 100_000
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
Contenders = Mapping[str, Callable[[], object]]


def main() -> None:
    """Print the medians of both parts, computing alone and files to table, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="+", default=range(4), help="Of the four parts.")
    parser.add_argument("--script", nargs=2, type=Path, help="Used by the benchmark itself.")
    parser.add_argument("--out", type=Path, help="Used by the benchmark itself.")
    given = parser.parse_args()
    if given.script:
        script(*given.script, given.out)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, given.pairs)
        for part in [parts(folder)[i] for i in given.only]:
            ours, theirs = compare(part.contenders(), given.rounds).values()
            row(f"IJB-C's size: {part.work}", part.against, f"{theirs / ours:.1f}x", part.goal)


class Part(NamedTuple):
    """What is compared, and what makes it ready."""

    work: str
    against: str
    goal: str
    contenders: Callable[[], Contenders]


def parts(folder: Path) -> list[Part]:
    """Name the parts."""
    script = "a straightforward script"
    cosine = "cosine alone of float64 templates"
    return [
        Part("arrays to TAR@FAR", script, ">= 12x", partial(computing, folder)),
        Part("arrays to TAR@FAR", cosine, ">= 10x", partial(insightface, folder)),
        Part("files to table, CSV", script, ">= 6x", partial(files, folder, "csv")),
        Part("files to table, Parquet", script, ">= 6x", partial(files, folder, "parquet")),
    ]


def make_files(folder: Path, pairs: int) -> None:
    """Write templates of 3,531 people, anchors, and pairs of which one in 800 is genuine."""
    rng = np.random.default_rng(0)
    first, second = gallery_by_probe(rng, pairs)
    centres = rng.normal(size=(GALLERY, DIM))
    subjects = rng.integers(0, GALLERY, ROWS)
    vectors = centres[subjects] + 1.2 * rng.normal(size=(ROWS, DIM))
    ids = np.array([str(10_000 + row) for row in range(ROWS)], dtype=object)
    write_embeddings(folder / "emb.h5", Embeddings.from_arrays(vectors, ids))
    others = Embeddings.from_arrays(
        rng.normal(size=(ANCHORS, DIM)), [f"anchor{i}" for i in range(ANCHORS)]
    )
    write_embeddings(folder / "anchors.h5", Anchors.of(others, kind="real-db"))
    labels = (subjects[first] == subjects[second]).astype(np.int8)
    names = pa.array(ids.astype(str))
    table = pa.table(
        {"probe_id": names.take(first), "reference_id": names.take(second), "label": labels}
    )
    pq.write_table(table, folder / "pairs.parquet")
    table.to_pandas().to_csv(folder / "pairs.csv", index=False)


def tars(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    """Read TAR at each FAR off scikit-learn's curve."""
    far, tar, _ = roc_curve(labels, scores)
    return [tar[np.searchsorted(far, wanted, "right") - 1] for wanted in FARS]


def gather_and_sum(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Take cosines a batch at a time, as scripts for IJB do."""
    parts = []
    for start in range(0, len(first), BATCH):
        part = slice(start, start + BATCH)
        parts.append(np.sum(vectors[first[part]] * vectors[second[part]], -1))
    return np.concatenate(parts)


def straightforward(
    vectors: np.ndarray, anchors: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return cosine and log DAM."""
    index = faiss.IndexFlatIP(DIM)
    index.add(anchors)
    nearest, _ = index.search(vectors, K)
    lid = np.log(np.exp(nearest.astype(np.float64)).sum(1))
    cosine = gather_and_sum(vectors, first, second)
    return cosine, cosine + np.logaddexp(-lid[first], -lid[second])


class PairsInMemory:
    """A list of pairs that needs no reading."""

    origin, labelled, has_folds, group_names = "pairs", True, False, ()

    def __init__(self, ids: np.ndarray, rows: Sequence[np.ndarray], labels: np.ndarray) -> None:
        self._ids, self._rows, self._labels = ids, rows, labels

    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs, all at once: there is nothing to wait for."""
        first, second = (Coded(rows, self._ids) for rows in self._rows)
        yield PairChunk(range(len(self._labels)), first, second, self._labels, None, {})


def computing(folder: Path) -> Contenders:
    """Compare what remains when everything is in memory."""
    people, anchors = read_embeddings(folder / "emb.h5"), read_anchors(folder / "anchors.h5")
    first, second, labels = read_with_pandas(folder / "pairs.parquet", people.ids)
    listed = PairsInMemory(people.ids, (first, second), labels)

    def ours() -> object:
        return evaluate(score(listed, people, anchors, k=K).matches(), fars=FARS, resamples=0)

    def theirs() -> object:
        both = straightforward(people.vectors, anchors.vectors, first, second)
        return [tars(labels, scores) for scores in both]

    found = [metric.tars[2].value for metric in ours().metrics]
    assert np.allclose(found, [one[2] for one in theirs()], atol=0.01), "the two disagree"
    return {"damcli, cosine and DAM": ours, "script, cosine and DAM": theirs}


def insightface(folder: Path) -> Contenders:
    """Compare with cosine alone by templates in float64, as insightface's IJB script keeps them."""
    wide = read_embeddings(folder / "emb.h5").vectors.astype(np.float64)
    people = read_embeddings(folder / "emb.h5")
    first, second, labels = read_with_pandas(folder / "pairs.parquet", people.ids)

    def theirs() -> object:
        return tars(labels, gather_and_sum(wide, first, second))

    return {"damcli, cosine and DAM": computing(folder)["damcli, cosine and DAM"], "cosine": theirs}


def files(folder: Path, kind: str) -> Contenders:
    """Compare the command with a script that reads and writes by pandas."""
    ids = ["-e", folder / "emb.h5", "-a", folder / "anchors.h5", "--resamples", "0", "--quiet"]
    pairs, out = folder / f"pairs.{kind}", folder / f"scores.{kind}"

    def ours() -> None:
        command = [sys.executable, "-m", "damcli", "score", pairs, *ids, "-o", out, "--force"]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)

    def theirs() -> None:
        command = [sys.executable, __file__, "--script", pairs, folder, "--out", out]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)

    return {"damcli score": ours, "script": theirs}


def script(pairs: Path, folder: Path, out: Path) -> None:
    """Read, score, write and evaluate as one would by hand."""
    with h5py.File(folder / "emb.h5") as file:
        vectors, ids = file["embedding"][:], file["id"].asstr()[:]
    with h5py.File(folder / "anchors.h5") as file:
        anchors = file["embedding"][:]
    first, second, labels = read_with_pandas(pairs, ids)
    cosine, dam = straightforward(vectors, anchors, first, second)
    table = pd.DataFrame({"probe_id": ids[first], "reference_id": ids[second], "label": labels})
    table = table.assign(cosine=cosine, score=dam)
    if out.suffix == ".csv":
        table.to_csv(out, index=False)
    else:
        table.to_parquet(out, index=False)
    print(tars(labels, cosine), tars(labels, dam))


def read_with_pandas(pairs: Path, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a list of pairs, and find the rows of its ids."""
    text = {"probe_id": str, "reference_id": str}
    csv = pairs.suffix == ".csv"
    table = pd.read_csv(pairs, dtype=text) if csv else pd.read_parquet(pairs)
    row = {name: place for place, name in enumerate(ids)}
    first, second = (table[name].map(row).to_numpy() for name in text)
    return first, second, table["label"].to_numpy()


if __name__ == "__main__":
    main()
