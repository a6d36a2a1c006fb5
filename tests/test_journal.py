from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError, OutputError, UserError
from damcli.storage.journal import Journal, read_records

HEADER = {"what": "numbers", "dim": 3}


def write(path: Path, payloads: list[bytes]) -> list[int]:
    """Write a journal; return its size after the header and after each record."""
    sizes = []
    with Journal(path, HEADER) as journal:
        sizes.append(path.stat().st_size)
        for payload in payloads:
            journal.append(payload)
            sizes.append(path.stat().st_size)
    return sizes


def payloads_of(path: Path) -> list[bytes]:
    return [record.payload for record in read_records(path)[1]]


@settings(max_examples=6, deadline=None)
@given(payloads=st.lists(st.binary(min_size=1, max_size=6), max_size=3))
def test_cut_at_any_byte_the_whole_records_before_survive(
    payloads: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "log"
    sizes = write(path, payloads)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = sum(size <= length for size in sizes[1:])
        header, records = read_records(path)
        assert header == (HEADER if length >= sizes[0] else None)
        assert [record.payload for record in records] == payloads[:kept]
        with Journal(path, HEADER) as journal:
            journal.append(b"new")
        assert payloads_of(path) == [*payloads[:kept], b"new"]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_damaged_byte_ends_the_journal_before_its_record(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("flip") / "log"
    payloads = [b"one", b"another", b"third"]
    sizes = write(path, payloads)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(sizes[0], len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert payloads_of(path) == payloads[: sum(size <= place for size in sizes[1:])]


def test_zeros_after_a_crash_of_the_machine_are_no_records(tmp_path: Path) -> None:
    write(tmp_path / "log", [b"one"])
    with (tmp_path / "log").open("ab") as file:
        file.write(bytes(4096))
    assert payloads_of(tmp_path / "log") == [b"one"]


def test_records_say_where_they_lie(tmp_path: Path) -> None:
    write(tmp_path / "log", [b"one", b"another"])
    content = (tmp_path / "log").read_bytes()
    for record in read_records(tmp_path / "log")[1]:
        assert content[record.offset : record.offset + len(record.payload)] == record.payload


def test_two_processes_cannot_write_one_journal(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        Journal(tmp_path / "log", HEADER),
        pytest.raises(UserError, match="another process is writing it"),
    ):
        Journal(tmp_path / "log", HEADER)
    Journal(tmp_path / "log", HEADER).close()


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    import struct
    import zlib

    for content in (b"no JSON", b"[1]"):
        prefix = struct.pack("<II", len(content), zlib.crc32(content))
        (tmp_path / "log").write_bytes(prefix + content)
        with pytest.raises(InputError, match="not a journal"):
            read_records(tmp_path / "log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_keeps_the_records_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log", HEADER)
    journal.append(b"one")
    mine = journal._file
    with Path("/dev/full").open("r+b", buffering=0) as full:
        journal._file = _Full(mine, full)
        with pytest.raises(OutputError, match="the disk is full") as caught:
            journal.append(b"two")
    assert "--resume" in str(caught.value.hint)
    journal._file = mine
    journal.append(b"three")
    journal.close()
    assert payloads_of(tmp_path / "log") == [b"one", b"three"]


class _Full:
    """Writes half a record, and then nothing more."""

    def __init__(self, real, full) -> None:
        self._real, self._full, self._left = real, full, 4

    def write(self, data) -> int:
        if self._left:
            written = self._real.write(data[: self._left])
            self._left = 0
            return written
        return self._full.write(data)

    def __getattr__(self, name: str):
        return getattr(self._real, name)
