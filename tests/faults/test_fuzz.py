"""A short look by every parser at made-up contents, the same ones each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fuzz import check
from tests.faults.parsers import PARSERS, Parser

EXAMPLES = 30


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_a_value_or_a_message(good: Path, parser: Parser, tmp_path: Path) -> None:
    check(parser, good, tmp_path, EXAMPLES, derandomize=True)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_the_sound_file_is_read(good: Path, parser: Parser, tmp_path: Path) -> None:
    parser.read(parser.place(good, tmp_path))
