"""``damcli`` with something that happens at a chosen point, for tests that need no luck.

    python -m tests.stress.launcher MODULE:NAME N ACTION damcli-arguments…

Before the N-th call of that function the process sends itself the signal that ACTION names, or
else runs the other command that ACTION is, and writes its exit code and messages to
``meanwhile.json``.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from damcli.cli.app import main
from tests.stress.scene import argv

_MEANWHILE = Path("meanwhile.json")


def _act(action: str) -> None:
    if action in signal.Signals.__members__:
        os.kill(os.getpid(), signal.Signals[action])
        return
    done = subprocess.run(argv(action), capture_output=True, text=True, check=False)
    _MEANWHILE.write_text(json.dumps({"code": done.returncode, "err": done.stderr}))


def _arrange(point: str, nth: int, action: str) -> None:
    module, _, path = point.partition(":")
    *parents, name = path.split(".")
    owner: Any = functools.reduce(getattr, parents, importlib.import_module(module))
    plain, calls = getattr(owner, name), 0

    @functools.wraps(plain)
    def hooked(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            _act(action)
        return plain(*arguments, **options)

    setattr(owner, name, hooked)


def begin(arguments: list[str]) -> None:
    """Run damcli; a network that is trained is a stand-in."""
    sys.argv = ["damcli", *arguments]
    if arguments[0] == "train":
        import torch

        from tests.training import small_backbone

        torch.set_num_threads(1)
        for place in ("training.learner", "models.trained"):
            patch(f"damcli.{place}.build_backbone", small_backbone).start()
    main()


if __name__ == "__main__":
    where, count, what, *rest = sys.argv[1:]
    _arrange(where, int(count), what)
    begin(rest)
