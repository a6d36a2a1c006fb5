"""Every parser on arbitrary bytes and on sound files with a few edits: a value, or a `UserError`.

``python -m tests.faults.fuzz --examples 5000 [--only pairs,bin]`` looks longer than the suite does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from damcli.errors import UserError
from tests.faults import good, good_images, good_protocols
from tests.faults.parsers import PARSERS, Parser

TOKENS = (
    *(b"\n", b"\r\n", b"\r", b",", b"\t", b" ", b'"', b'""', b"\0", b"\xef\xbb\xbf", b"\xe9"),
    *(b"1", b"0", b"-1", b"01", b"1e999", b"nan", b"inf", b"99999999999999999999", b"2147483648"),
    *(b"null", b"true", b"[]", b"{}", b"[", b"{", b"}", b":", b"=", b"label", b"id", b"=1+1"),
    *(b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\x7f" * 8, b"a" * 5000, "写".encode()),
)
pieces = st.sampled_from(TOKENS) | st.binary(max_size=8)
edits = st.tuples(
    st.sampled_from(["put", "insert", "cut", "twice", "end"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 60),
    pieces,
)


def edited(whole: bytes, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    """Change a file in a few places."""
    for what, share, length, piece in changes:
        at = int(share * len(whole))
        before, inside, after = whole[:at], whole[at : at + length], whole[at + length :]
        whole = {
            "put": before + piece + whole[at + len(piece) :],
            "insert": before + piece + inside + after,
            "cut": before + after,
            "twice": before + inside + inside + after,
            "end": before,
        }[what]
    return whole


def contents(sound: bytes) -> st.SearchStrategy[bytes]:
    """Draw what a parser may be given."""
    changed = st.lists(edits, min_size=1, max_size=5).map(lambda changes: edited(sound, changes))
    words = st.lists(pieces, max_size=40).map(b"".join)
    return changed | words | st.binary(max_size=400)


def check(parser: Parser, sound: Path, folder: Path, examples: int, **more: Any) -> None:
    """Hand a parser many contents; anything it raises but a `UserError` is a failure."""
    target = parser.place(sound, folder)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        **more,
    )
    @given(content=contents((sound / parser.file).read_bytes()))
    def refused_or_read(content: bytes) -> None:
        target.write_bytes(content)
        try:
            parser.read(target)
        except UserError as error:
            assert str(error)

    refused_or_read()


def _deep(examples: int, only: Callable[[str], bool]) -> int:
    """Run all parsers; return how many failed."""
    warnings.simplefilter("error")
    failed = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        good_protocols.small_ijb(),
        good_images.small_networks(),
    ):
        sound = Path(folder) / "good"
        sound.mkdir()
        for part in (good, good_protocols, good_images):
            part.make(sound)
        for parser in PARSERS:
            if not only(parser.name):
                continue
            place, start = Path(folder) / parser.name, time.monotonic()
            place.mkdir()
            try:
                check(parser, sound, place, examples)
            except Exception:  # whatever a parser let through
                failed += 1
                print(f"{parser.name}: FAILED\n{traceback.format_exc(limit=-12)}", flush=True)
            else:
                print(f"{parser.name}: {time.monotonic() - start:.1f} s", flush=True)
    return failed


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--examples", type=int, default=1000)
    options.add_argument("--only", help="names of parsers, separated by commas")
    chosen = options.parse_args()
    names = None if chosen.only is None else chosen.only.split(",")
    raise SystemExit(min(1, _deep(chosen.examples, lambda name: names is None or name in names)))
