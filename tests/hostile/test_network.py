"""No command opens a connection: a hook that sees every socket of Python ends the first one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.images import save
from tests.networks import conv_net

RUN = """
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"a connection: {event} {arguments}")

sys.addaudithook(refuse)
from damcli.cli.app import main

for line in sys.stdin.read().splitlines():
    sys.argv = ["damcli", *line.split()]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{line}: {stop.code}")
"""
COMMANDS = """
embed photos --model net.onnx --size 8x8 --crop center --color rgb --mean 127 --std 127 -o e.h5
convert e.h5 -o e.npz
info e.npz
build-anchors e.h5 -o a.h5 --kind real-db --strip-ids
pairs e.h5 --genuine all --impostor 20 -o pairs.csv
score pairs.csv -e e.h5 -a a.h5 -o scores.csv --resamples 20
evaluate scores.csv --resamples 20 --json --require AUC>=0
compare pairs.csv -e e.h5 -a a.h5 -k 2 --resamples 20
identify e.h5 e.h5 -a a.h5 -k 2 --resamples 20 --ranks 1
pool e.h5 --by subject -o templates.h5
sweep pairs.csv -e e.h5 -a a.h5 -k 1,2 --resamples 0
report scores.csv -o page.html --resamples 20
--version
"""


def test_commands_without_a_network(tmp_path: Path) -> None:
    for row in range(12):
        save(tmp_path / "photos" / str(row % 4) / f"{row}.png", row)
    conv_net(tmp_path / "net.onnx", size=(8, 8))
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=COMMANDS.strip(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").exists()


def test_the_hook_sees_a_connection() -> None:
    script = RUN.split("from damcli")[0] + "import urllib.request\n"
    script += "urllib.request.urlopen('http://127.0.0.1:9/')\n"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "a connection: socket." in done.stderr


def test_onnxruntime_collects_nothing(tmp_path: Path) -> None:
    """Its telemetry, which Python's hooks cannot see, begins with a file of its session."""
    quiet = {"ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS"}
    plain = {name: value for name, value in os.environ.items() if name not in quiet}
    code = "import os, damcli, onnxruntime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**plain, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert list(tmp_path.iterdir()) == []
