from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import typer

from damcli import __version__
from damcli.cli.app import app
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed, program
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

COMMANDS = ("embed", "build-anchors", "score", "evaluate", "pairs", "convert", "info", "demo")
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (@, @))
from damcli.cli.app import main
main()
"""


def shell(*arguments: object, code: str = "from damcli.cli.app import main; main()", **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        text=True,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, **options},
    )


def test_version() -> None:
    assert damcli("--version").out == f"damcli {__version__}\n"


def test_help_names_every_command() -> None:
    done = damcli("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert command in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_shows_one_real_example(command: str) -> None:
    done = damcli(command, "--help")
    assert done.code == 0
    assert f"Example: damcli {command}" in " ".join(done.out.split())


def test_an_unknown_command_is_a_usage_error() -> None:
    assert damcli("scroe").code == 2


PROGRAM = program()


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_help_shows_every_bracket_that_it_was_given(name: str) -> None:
    """Where an extra is named, rich would take ``[torch]`` for a style and print nothing."""
    command = PROGRAM.commands[name]
    shown = " ".join(damcli(name, "--help").out.replace("│", " ").split())
    texts = [command.help, *(getattr(one, "help", None) for one in command.params)]
    for text in filter(None, texts):
        for bracket in re.findall(r"\[[a-z]+\]", text):
            assert bracket in shown, text


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_the_list_of_commands_says_what_each_says_itself(name: str) -> None:
    listed: Any = typer.main.get_command(app)
    assert listed.commands[name].help == PROGRAM.commands[name].help.partition("\n")[0]


def test_help_names_the_extras() -> None:
    for name, extra in (
        ("embed", "[torch]"),
        ("embed", "[detect]"),
        ("build-anchors", "[detect]"),
        ("fit-lidr", "[torch]"),
    ):
        assert extra in damcli(name, "--help").out


def test_the_completion_script_offers_the_commands() -> None:
    complete = {
        **os.environ,
        "_DAMCLI_COMPLETE": "complete_bash",
        "COMP_WORDS": "damcli ",
        "COMP_CWORD": "1",
    }
    launcher = "import sys; sys.argv[0] = 'damcli'; from damcli.cli.app import main; main()"
    offered = shell(code=launcher, env=complete).stdout.split()
    assert set(COMMANDS) <= set(offered)


def test_an_interrupt_exits_with_130(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "emb.h5", faces())
    with patch("damcli.storage.files.read_embeddings", side_effect=KeyboardInterrupt):
        done = damcli("score", "--all-pairs", "-e", tmp_path / "emb.h5")
    assert done.code == 130
    assert "interrupted" in done.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(60, 3)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_pairs(tmp_path / "pairs.csv", people, labels=False)
    return tmp_path


def test_a_full_disk_leaves_the_old_file_whole(folder: Path) -> None:
    out = folder / "scores.csv"
    out.write_text("precious")
    done = shell(
        *("score", folder / "pairs.csv", "-e", folder / "emb.h5", "-o", out, "--force"),
        code=LIMITED.replace("@", "50000"),
    )
    assert done.returncode == 1, done.stderr
    assert "disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text() == "precious"
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("room", [5_000, 60_000, 300_000, 700_000])
def test_a_full_disk_under_an_hdf5_output(folder: Path, room: int) -> None:
    rng = np.random.default_rng(0)
    big = Embeddings.from_arrays(rng.normal(size=(3000, 64)).astype(np.float32))
    write_embeddings(folder / "big.h5", big)
    out = folder / "copy.h5"
    done = shell(*("convert", folder / "big.h5", "-o", out), code=LIMITED.replace("@", str(room)))
    # HDF5 that hears of a fault crashes when Python ends, long after the message.
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        f"error: {out}: not written, the disk is full",
        "hint: free some space or choose another disk; the file is as it was before",
    ]
    assert not out.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = shell("score", folder / "pairs.csv", "-e", folder / "emb.h5", stdout=full)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "no room left" in done.stderr


def test_a_reader_that_leaves_early(folder: Path) -> None:
    command = f"{sys.executable} -m damcli score {folder}/pairs.csv -e {folder}/emb.h5 | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("probe_id,reference_id")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_demo_prints_both_metrics_and_what_to_do_next(tmp_path: Path) -> None:
    done = damcli("demo", "--keep", tmp_path / "kept", "--resamples", "50")
    assert done.code == 0, done.err
    assert "cosine" in done.out
    assert "DAM-R" in done.out
    assert "damcli build-anchors" in done.out
    again = damcli(
        *("score", "--all-pairs", "-e", tmp_path / "kept" / "emb.h5"),
        *("-a", tmp_path / "kept" / "anchors.h5", "--resamples", "50"),
    )
    assert again.code == 0, again.err
    assert again.out.strip() in done.out


def test_bad_vectors_name_file_row_and_what_to_do(tmp_path: Path) -> None:
    import h5py

    for name, value in (("zero", 0.0), ("nan", float("nan"))):
        path = tmp_path / f"{name}.h5"
        people = faces(2, 2)
        write_embeddings(path, Embeddings(people.vectors, people.ids, people.subjects))
        with h5py.File(path, "r+") as file:
            file["embedding"][2] = value
        failed(damcli("score", "--all-pairs", "-e", path), f"{name}.h5, row 3", "--drop-invalid")


def test_duplicate_ids_name_both_rows(tmp_path: Path) -> None:
    import h5py

    write_embeddings(tmp_path / "emb.h5", faces(2, 2))
    with h5py.File(tmp_path / "emb.h5", "r+") as file:
        file["id"][3] = "p000/0"
    failed(
        damcli("score", "--all-pairs", "-e", tmp_path / "emb.h5"),
        "row 4: id 'p000/0' was already given to row 1",
        "--drop-duplicates",
    )
