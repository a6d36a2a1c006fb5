"""Rows keep their lines, however far the reading in threads got before an odd one."""

from __future__ import annotations

import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damcli.errors import InputError
from damcli.protocols import arrow_csv, batches
from damcli.protocols.pairs import read_pairs
from damcli.scoring.resolve import resolve
from tests.faces import faces


def read(path: Path) -> list[tuple[int, str, str, int]]:
    rows = []
    for chunk in read_pairs(path).chunks():
        assert chunk.labels is not None
        sides = chunk.probes.values, chunk.references.values
        rows += zip(map(int, chunk.lines), *sides, chunk.labels.tolist(), strict=True)
    return rows


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(arrow_csv, "_BLOCK_BYTES", 64)
    return [f"p{i:03d},r{i % 7},{i % 2}" for i in range(200)]


def expected(lines: list[str]) -> list[tuple[int, str, str, int]]:
    cells = [(at, line.split(",")) for at, line in enumerate(lines, start=1) if line.strip(" ,")]
    return [(at, a, b, int(label)) for at, (a, b, label) in cells]


@pytest.mark.parametrize("odd", ["", "   ", ",,"])
@pytest.mark.parametrize("places", [(), (0,), (1,), (100,), (60, 61, 150), (199,)])
def test_blank_lines_anywhere(
    lines: list[str], places: tuple[int, ...], odd: str, tmp_path: Path
) -> None:
    for place in places:
        lines.insert(place, odd)
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    assert read(tmp_path / "p.csv") == expected(lines)


@pytest.mark.parametrize("place", [1, 3, 77, 199])
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a,b", r"2 columns \('a,b'\); expected 3, as in row 1"),
        ("a,b,1,x", r"4 columns"),
        ("a,b,7", "label '7'; expected 1 or 0"),
        (",b,1", "an empty id"),
    ],
)
def test_a_bad_row_is_named_wherever_it_stands(
    lines: list[str], place: int, line: str, found: str, tmp_path: Path
) -> None:
    lines.insert(place, line)
    (tmp_path / "p.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"row {place + 1}: {found}"):
        read(tmp_path / "p.csv")
    lines.insert(place // 2 + 1, "")
    (tmp_path / "p.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"row {place + 2}: {found}"):
        read(tmp_path / "p.csv")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_parquet_of_any_kind_of_text(kind: pa.DataType, tmp_path: Path) -> None:
    ids = pa.array([f"p{i % 50}" for i in range(300)])
    table = {"probe_id": ids.cast(kind), "reference_id": ids, "label": pa.array([1, 0] * 150)}
    pq.write_table(pa.table(table), tmp_path / "p.parquet", row_group_size=70)
    rows = read(tmp_path / "p.parquet")
    assert [row[1:] for row in rows] == [(f"p{i % 50}",) * 2 + ((i + 1) % 2,) for i in range(300)]


@pytest.mark.parametrize("cell", ["a,", "a\t", "a "])
def test_a_first_line_without_an_end_is_refused(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("\n" + cell * 510_000)
    with pytest.raises(InputError, match="row 2: a line of more than 1,000,000 characters"):
        read_pairs(path)


def test_an_empty_id_in_parquet_is_named(tmp_path: Path) -> None:
    table = pa.table({"probe_id": ["a", "b", None], "reference_id": ["a", "", "c"]})
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(InputError, match="row 3: an empty id"):
        list(read_pairs(tmp_path / "p.parquet").chunks())


def test_of_a_parquet_file_only_what_is_being_read_lies_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_PARQUET_ROWS", 1000)
    path, rng, label = tmp_path / "p.parquet", np.random.default_rng(0), pa.array([1] * 1000)
    names = ["probe_id", "reference_id", "label"]
    one = pa.table([pa.array([rng.bytes(99).hex() for _ in range(1000)])] * 2 + [label], names)
    with pq.ParquetWriter(path, one.schema) as writer:
        for _ in range(30):
            writer.write_table(one)
    del one
    before, most = pa.total_allocated_bytes(), 0
    for chunk in read_pairs(path).chunks():
        assert len(chunk) == 1000
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < path.stat().st_size / 4


def test_rows_are_found_for_several_chunks_at_once(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("\n".join(lines))
    people = faces(300)
    ids = [f"p{i:03d}" for i in range(0, 250, 2)] + [f"r{i}" for i in range(6)]
    table = replace(people.take(slice(0, len(ids))), ids=np.array(ids, dtype=object))
    found = resolve(read_pairs(path), table, table, skip_missing=True)
    rows = {name: row for row, name in enumerate(ids)}
    cells = [line.split(",")[:2] for line in lines]
    known = [(rows[a], rows[b]) for a, b in cells if a in rows and b in rows]
    (chunk,) = found.chunks(1000)
    assert list(zip(chunk.probe_rows, chunk.reference_rows, strict=True)) == known
    assert [m.row for m in found.missing] == [
        line for line, cell in enumerate(cells, 1) if not rows.keys() >= set(cell)
    ]


@pytest.mark.parametrize("answer", ["skip", "error"])
def test_no_thread_of_arrow_holds_the_function_afterwards(answer: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("a,b,c\n" * 1500 + "short\n" + "a,b,c\n" * 1500)
    kinds = dict.fromkeys(("a", "b", "c"), pa.string())
    for _ in range(100):

        def refuse(row: object) -> str:
            return answer

        held = weakref.ref(refuse)
        with suppress(pa.ArrowInvalid):
            list(arrow_csv.batches_of(str(path), kinds, delimiter=",", refuse=refuse))
        del refuse
        assert held() is None
