"""Run every command of the scene in one process, each in a folder of its own.

    python -m tests.stress.rehearse SUBJECTS ANCHORS IMAGES STEPS DIM

The inputs are looked for in ``in``; what a command prints goes to ``stdout`` in its folder.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path

from tests.cli import damcli
from tests.stress.scene import Size, commands

PRINTS = ("score", "score to Parquet", "evaluate", "compare", "sweep", "identify", "pool")
"""The commands that are asked for JSON as well."""


def rehearse(size: Size) -> None:
    """Run all but training, which is not promised to be the same under other threads."""
    for name, (line, _) in commands(size).items():
        if name == "train":
            continue
        folder = Path(name.replace(" ", "-"))
        folder.mkdir()
        with contextlib.chdir(folder):
            done = damcli(*shlex.split(line), *(["--json"] if name in PRINTS else []))
            if done.code:
                sys.exit(f"{name}: {done.err}")
            Path("stdout").write_text(done.out, encoding="utf-8")


if __name__ == "__main__":
    rehearse(Size(*map(int, sys.argv[1:])))
