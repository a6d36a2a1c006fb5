from __future__ import annotations

import bz2
import csv
import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError
from damcli.protocols import arrow_csv
from damcli.protocols.pairs import read_pairs
from tests.cli import damcli, failed

Rows = list[tuple[str, str, int | None]]
PAIRS: Rows = [("a", "b", 1), ("007", "NA", 0), ("null", "x y", 0)]


def read(path: Path) -> Rows:
    rows: Rows = []
    for chunk in read_pairs(path).chunks():
        labels = [None] * len(chunk) if chunk.labels is None else chunk.labels.tolist()
        rows += zip(chunk.probes.values, chunk.references.values, labels, strict=True)
    return rows


def text(separator: str = ",", end: str = "\n", header: str = "") -> str:
    lines = [separator.join([a, b, str(c)]) for a, b, c in PAIRS]
    return end.join([header, *lines] if header else lines) + end


@pytest.mark.parametrize(
    "content",
    [
        text(),
        text(header="probe_id,reference_id,label"),
        text(header="Image1,image2,IsSame"),
        text("\t"),
        text(end="\r\n"),
        "\ufeff" + text(header="probe_id,reference_id,label"),
        "\ufeff" + text(),
        text() + "\n\n",
        text().replace(",1", ",1.0").replace(",0", ",nontarget"),
        "label,reference_id,probe_id\n1,b,a\n0,NA,007\n0,x y,null\n",
        '"a","b",1\n"007","NA",0\n"null","x y",0\n',
    ],
)
def test_layouts_that_users_have(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.csv").write_bytes(content.encode())
    assert read(tmp_path / "p.csv") == PAIRS


def test_compressed_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(text().encode()))
    for suffix in ("zst", "bz2"):
        with pa.output_stream(str(tmp_path / f"p.csv.{suffix}")) as stream:
            stream.write(text().encode())
    columns = {"probe_id": 0, "reference_id": 1, "label": 2}
    pq.write_table(
        pa.table({name: [row[i] for row in PAIRS] for name, i in columns.items()}),
        tmp_path / "p.parquet",
    )
    for name in ("p.csv.gz", "p.csv.zst", "p.csv.bz2", "p.parquet"):
        assert read(tmp_path / name) == PAIRS, name


def test_speaker_trials(tmp_path: Path) -> None:
    (tmp_path / "vox.txt").write_text("1 a/1.wav b/1.wav\n0  a/1.wav   c/1.wav\n")
    (tmp_path / "kaldi.txt").write_text("a/1.wav b/1.wav target\na/1.wav c/1.wav nontarget\n")
    expected = [("a/1.wav", "b/1.wav", 1), ("a/1.wav", "c/1.wav", 0)]
    assert read(tmp_path / "vox.txt") == read(tmp_path / "kaldi.txt") == expected


def test_no_labels_and_further_columns(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\nc,d\n")
    assert read(tmp_path / "p.csv") == [("a", "b", None), ("c", "d", None)]
    (tmp_path / "q.csv").write_text("probe,reference,label,fold,race\na,b,1,3,x\n")
    (chunk,) = read_pairs(tmp_path / "q.csv").chunks()
    assert chunk.folds.values.tolist() == ["3"]
    assert chunk.groups["race"].values.tolist() == ["x"]


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=8))
def test_any_id_comes_back(tmp_path_factory: pytest.TempPathFactory, pairs: list) -> None:
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("probe_id", "reference_id"), *pairs])
    path = tmp_path_factory.mktemp("ids") / "p.csv"
    path.write_text(written.getvalue(), encoding="utf-8")
    assert [row[:2] for row in read(path)] == pairs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"probe_id,reference_id,label\n", "holds a header but no pairs"),
        (b"a,b,1\nc,d\n", r"row 2: 2 columns \('c,d'\); expected 3"),
        (b"a,b,1\nc,d,0,9\n", "row 2: 4 columns"),
        (b"a,b,1\nc,d,2\n", "row 2: label '2'; expected 1 or 0"),
        (b"probe_id,reference_id,label\na,b,1\nc,d,-1\n", "row 3: label '-1'"),
        (b"left,right,same?\na,b,1\n", r"row 1: label 'same\?'"),
        (b"a,b,1\n,d,0\n", "row 2: an empty id"),
        (b"a,b,1\n\xff\xfe,d,0\n", "is not UTF-8"),
        (b"alone\n", "one column"),
        (b"1 a b\n0 c\n", "row 2: 2 columns; expected 3"),
    ],
)
def test_what_is_wrong_and_where(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "p.csv")


def test_a_bad_label_is_found_beyond_the_first_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_csv, "_BLOCK_BYTES", 256)
    (tmp_path / "p.csv").write_text("a,b,1\n" * 500 + "a,b,7\n")
    with pytest.raises(InputError, match="row 501: label '7'"):
        read(tmp_path / "p.csv")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(np.random.default_rng(0).bytes(9).hex().encode() + b"a,b,1\n" * 9999)
    (tmp_path / "p.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(InputError, match=r"p\.csv\.gz"):
        read(tmp_path / "p.csv.gz")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    (tmp_path / "p.parquet").write_text("text")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read(tmp_path / "p.parquet")


SCORES = "id,label,mine,dist\na,1,0.9,0.1\nb,0,0.2,0.7\nc,0,0.4,0.5\nd,1,0.3,0.6\n"


def test_scores_of_any_name_and_distances(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(SCORES)
    options = ("--far", "0.5", "--resamples", "0", "--csv")
    one, other = (
        list(csv.DictReader(io.StringIO(damcli("evaluate", path, "--score", *more, *options).out)))
        for more in (("mine",), ("dist", "--distance"))
    )
    assert [row["value"] for row in one] == [row["value"] for row in other]
    assert float(one[0]["threshold"]) == pytest.approx(0.2, abs=1e-9)
    assert float(other[0]["threshold"]) == pytest.approx(0.7, abs=1e-9)


@pytest.mark.parametrize(
    ("content", "options", "parts"),
    [
        (SCORES, (), ["expected a column 'cosine' or 'score'", "--score NAME"]),
        (SCORES, ("--score", "no"), ["expected a column 'no'"]),
        (SCORES.replace("label", "x"), ("--score", "mine"), ["expected a label column", "--label"]),
        (SCORES.replace("0.4", "nan"), ("--score", "mine"), ["row 4: mine is 'nan'"]),
        (SCORES.replace("0.4", "high"), ("--score", "mine"), ["row 4: mine is 'high'"]),
        ("label,score\n", (), ["holds a header but no scores"]),
        ("label,score\n1,2\n", (), ["one class only"]),
        ("label,score\n3,2\n", (), ["row 2: label '3'"]),
    ],
)
def test_bad_score_lists(
    tmp_path: Path, content: str, options: tuple[str, ...], parts: list[str]
) -> None:
    (tmp_path / "s.csv").write_text(content)
    failed(damcli("evaluate", tmp_path / "s.csv", *options), *parts)


@pytest.mark.parametrize(
    "content",
    [
        b"a,b,1\n\n  \n\nc,d,7\n\n",
        b"\n\nprobe_id,reference_id,label\n\nc,d,7\n",
        b"1 a b\n\n\n\n7 c d\n",
        b"\xef\xbb\xbfa,b,1\r\n\r\n\r\n,,\r\nc,d,7\r\n",
    ],
)
def test_blank_lines_shift_no_number(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"row 5: label '7'|row 5: 3 columns"):
        list(read_pairs(tmp_path / "p.csv").chunks())


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_compression_is_told_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b"probe_id,reference_id,label\na,b,1\nc,d,0\n")
    (tmp_path / "p.csv").write_bytes(packed)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(packed)))
    for name in (tmp_path / "p.csv", "-"):
        (chunk,) = read_pairs(name).chunks()
        assert list(chunk.probes.values) == ["a", "c"]


def test_a_column_named_twice(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("probe_id,reference_id,label,label\na,b,1,0\n")
    with pytest.raises(InputError, match="row 1: two columns named 'label'"):
        read_pairs(tmp_path / "p.csv")
