"""What is read of the processor, and whom OpenBLAS is told of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from damcli import processor

WIDE = "fpu avx2 avx512f avx512bw avx512cd avx512dq avx512vl avx512_vnni"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    processor._lines.cache_clear()
    processor.flags.cache_clear()


def told(monkeypatch: pytest.MonkeyPatch, vendor: str, flags: str) -> None:
    text = (
        f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags : x\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    processor._lines.cache_clear()
    processor.flags.cache_clear()


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", WIDE, "SkylakeX"),
        ("AuthenticAMD", "fpu avx2", None),
        ("GenuineIntel", WIDE, None),
    ],
)
def test_openblas_is_told_of_the_wide_vectors_of_amd(
    monkeypatch: pytest.MonkeyPatch, vendor: str, flags: str, expected: str | None
) -> None:
    told(monkeypatch, vendor, flags)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "restored at the end")
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    processor.prefer_wide_products()
    assert os.environ.get("OPENBLAS_CORETYPE") == expected


def test_what_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "AuthenticAMD", WIDE)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Zen")
    processor.prefer_wide_products()
    assert os.environ["OPENBLAS_CORETYPE"] == "Zen"


def test_the_flags_are_those_of_the_first_core(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, "AuthenticAMD", "fpu avx2")
    assert processor.flags() == {"fpu", "avx2"}


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    processor._lines.cache_clear()
    processor.flags.cache_clear()
    assert processor.flags() == frozenset()
