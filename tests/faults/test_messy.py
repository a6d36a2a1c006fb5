"""What is odd and yet clear is read for what it says."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from damcli.reports.sweep_file import read_sweep
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.training.options import read_toml
from tests.cli import damcli, failed
from tests.faults.good import run

IDS = (
    *("007", "7", "07.0", "1e3", "0x1F", "-1", "+5", "nan", "None", "true", "NULL", "1"),
    *('a "quoted" id', '"', "comma, in it", "two  spaces", "semi;colon", "=1+1", "#7", "'"),
    *("C:\\faces\\Ünï 1.jpg", "\\\\server\\share\\a.png", "写真/é.png", "🙂", "x" * 100_000),
)
LABELS = {
    1: ("1", "1.0", "true", "True", "TRUE", "target"),
    0: ("0", "0.0", "false", "False", "nontarget", "NONTARGET"),
}
ROWS = [
    (one, other, str((place + step) % 2))
    for step in (1, 3)
    for place, (one, other) in enumerate(zip(IDS, IDS[step:] + IDS[:step], strict=True))
]


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("messy")
    vectors = np.random.default_rng(1).normal(size=(len(IDS), 8))
    write_embeddings(folder / "emb.h5", Embeddings.from_arrays(vectors, IDS))
    return folder / "emb.h5"


def table(
    rows: list[tuple[str, ...]] = ROWS, mark: str = ",", quoting: int = csv.QUOTE_MINIMAL
) -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=mark, quoting=quoting, lineterminator="\n")
    writer.writerows([("probe_id", "reference_id", "label"), *rows])
    return file.getvalue()


def mixed(text: str) -> str:
    ends = itertools.cycle(["\n", "\r\n"])
    return "".join(line + next(ends) for line in text.splitlines())


def blank_lines(text: str) -> str:
    return "\n\n" + text.replace("\n", "\n\n")


def reordered(rows: list[tuple[str, ...]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((" Label", "REFERENCE_ID ", "Probe_Id"))
    writer.writerows(row[::-1] for row in rows)
    return file.getvalue()


def labelled(way: int) -> list[tuple[str, ...]]:
    return [(one, other, LABELS[int(label)][way]) for one, other, label in ROWS]


def encode(text: str) -> bytes:
    return text.encode()


LISTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "plain": ("a.csv", lambda: encode(table())),
    "byte-order-mark": ("a.csv", lambda: b"\xef\xbb\xbf" + encode(table())),
    "crlf": ("a.csv", lambda: encode(table().replace("\n", "\r\n"))),
    "cr": ("a.csv", lambda: encode(table().replace("\n", "\r"))),
    "mixed-newlines": ("a.csv", lambda: encode(mixed(table()))),
    "no-newline-at-the-end": ("a.csv", lambda: encode(table().rstrip("\n"))),
    "blank-lines": ("a.csv", lambda: encode(blank_lines(table()))),
    "all-quoted": ("a.csv", lambda: encode(table(quoting=csv.QUOTE_ALL))),
    "tabs": ("a.tsv", lambda: encode(table(mark="\t"))),
    "another-order": ("a.csv", lambda: encode(reordered(ROWS))),
    "no-header": ("a.csv", lambda: encode(table().split("\n", 1)[1])),
    "gzip": ("a.csv.gz", lambda: gzip.compress(encode(table()))),
    "gzip-without-its-name": ("a.csv", lambda: gzip.compress(encode(table()))),
    "bz2": ("a.csv.bz2", lambda: bz2.compress(encode(table()))),
    **{
        f"label-{LABELS[1][way]}": ("a.csv", lambda way=way: encode(table(labelled(way))))
        for way in range(len(LABELS[1]))
    },
}


def scored(listed: Path, embeddings: Path) -> list[list[str]]:
    out = listed.with_name("scores.csv")
    run("score", listed, "-e", embeddings, "-o", out, "--resamples", "0", "-q")
    with out.open(newline="", encoding="utf-8") as file:
        return [row[:4] for row in csv.reader(file)][1:]


def expected(embeddings: Path) -> list[list[str]]:
    found = read_embeddings(embeddings)
    wide = dict(zip(found.ids, found.vectors.astype(np.float64), strict=True))
    return [[one, other, label, repr(float(wide[one] @ wide[other]))] for one, other, label in ROWS]


@pytest.mark.parametrize("way", LISTS)
def test_pair_lists(way: str, embeddings: Path, tmp_path: Path) -> None:
    name, content = LISTS[way]
    (tmp_path / name).write_bytes(content())
    found = scored(tmp_path / name, embeddings)
    wanted = expected(embeddings)
    assert [row[:3] for row in found] == [row[:3] for row in wanted]
    assert [float(row[3]) for row in found] == [float(row[3]) for row in wanted]


def parquet(path: Path, **columns: object) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_pairs_in_parquet(kind: str, embeddings: Path, tmp_path: Path) -> None:
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "large_string": pa.large_string(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
    }
    probes, references, labels = zip(*ROWS, strict=True)
    columns = {
        "probe_id": pa.array(probes).cast(kinds[kind]),
        "reference_id": pa.array(references).cast(kinds[kind]),
        "label": pa.array([int(label) for label in labels], pa.int8()),
    }
    found = scored(parquet(tmp_path / "pairs.parquet", **columns), embeddings)
    assert [row[:3] for row in found] == [list(row) for row in ROWS]


def test_numbers_in_parquet_are_the_ids_that_they_write(embeddings: Path, tmp_path: Path) -> None:
    """A column of whole numbers has lost its leading zeros: 7 is '7', and never '007'."""
    pairs = parquet(tmp_path / "pairs.parquet", probe_id=[7, 1], reference_id=["007", "07.0"])
    assert [row[:2] for row in scored(pairs, embeddings)] == [["7", "007"], ["1", "07.0"]]
    parquet(pairs, probe_id=[7.0, 1.0], reference_id=["007", "07.0"])
    done = damcli("score", pairs, "-e", embeddings)
    failed(done, "pairs.parquet: probe_id of type double; expected text or whole numbers", "hint:")
    both = {"embedding": [[1.0, 0.0], [0.0, 1.0]], "id": ["007", "7"]}
    run("convert", parquet(tmp_path / "text.parquet", **both), "-o", tmp_path / "text.h5", "-q")
    assert read_embeddings(tmp_path / "text.h5").ids.tolist() == ["007", "7"]
    done = damcli(
        *("convert", parquet(tmp_path / "float.parquet", **{**both, "id": [7.0, 8.0]})),
        *("-o", tmp_path / "float.h5"),
    )
    failed(done, "float.parquet, row 1: id 7.0 is of type float; expected text or a whole number")


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".npy", ".vectors.h5", ".h5"])
def test_ids_survive_every_layout(suffix: str, embeddings: Path, tmp_path: Path) -> None:
    run("convert", embeddings, "-o", tmp_path / f"a{suffix}", "-q")
    run("convert", tmp_path / f"a{suffix}", "-o", tmp_path / "back.h5", "-q")
    assert read_embeddings(tmp_path / "back.h5").ids.tolist() == list(IDS)


MESSY: dict[str, Callable[[bytes], bytes]] = {
    "byte-order-mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "crlf": lambda raw: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    "no-newline-at-the-end": lambda raw: raw.rstrip(),
}
SIDES = "-e {good}/emb.h5 -a {good}/anchors.h5 --resamples 0 --far 0.1"
READERS = {
    "lfw/pairs.txt": "pairs --protocol lfw --root {it} -o {out}",
    "calfw/pairs_CALFW.txt": "pairs --protocol calfw --root {it} -o {out}",
    "agedb_text/agedb_30_pair.txt": "pairs --protocol agedb --root {it} -o {out}",
    "ytf/splits.txt": "pairs --protocol ytf --root {it} -o {out}",
    "trials.txt": "pairs --protocol trials --root {it} -o {out}",
    "scores.csv": "evaluate {it} --csv",
    "threshold.json": "evaluate {good}/scores.csv --threshold {it}",
    "calibration.json": "score {good}/pairs.csv " + SIDES + " --calibration {it} -o {out}",
    "landmarks.csv": "embed {good}/photos --model {good}/model.onnx --color rgb --mean 127.5 "
    "--std 127.5 --landmarks {it} -o {out}",
    "exclude.txt": "build-anchors {good}/emb.h5 --exclude-ids {it} -o {out} --per-subject all",
    "templates.csv": "pool {good}/emb.h5 -t {it} -o {out}",
    "emb.ids.csv": "convert {good}/emb.npy --ids {it} -o {out}",
    "labels.csv": "build-anchors {good}/centres.npy --kind fc-weights --labels {it} -o {out}",
}


VECTORS = ("embed", "build-anchors", "pool", "convert")


def result(command: str, good: Path, it: Path, out: Path) -> object:
    """Run a command; return what it made, without what it was made from."""
    shown = run(*(word.format(good=good, it=it, out=out) for word in command.split()))
    if out.suffix == ".h5":
        made = read_embeddings(out)
        return made.ids.tolist(), made.vectors.tobytes()
    return out.read_text("utf-8") if out.exists() else shown


@pytest.mark.parametrize("way", MESSY)
@pytest.mark.parametrize("name", READERS)
def test_other_lists(name: str, way: str, good: Path, tmp_path: Path) -> None:
    plain, messy = (tmp_path / folder / Path(name).name for folder in ("plain", "messy"))
    for path in (plain, messy):
        path.parent.mkdir()
        path.write_bytes((good / name).read_bytes())
    messy.write_bytes(MESSY[way](plain.read_bytes()))
    made = "made.h5" if READERS[name].split()[0] in VECTORS else "made.csv"
    one, other = (
        result(READERS[name], good, path, path.with_name(made)) for path in (plain, messy)
    )
    assert one == other


@pytest.mark.parametrize("way", MESSY)
@pytest.mark.parametrize(
    ("name", "read"),
    [("recipe.toml", read_toml), ("sweep.csv", read_sweep), ("sweep.json", read_sweep)],
)
def test_other_documents(
    name: str, read: Callable[[Path], object], way: str, good: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(MESSY[way]((good / name).read_bytes()))
    assert read(tmp_path / name) == read(good / name)
