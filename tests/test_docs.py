"""What the documentation shows exists and runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from damcli.storage.embeddings import Embeddings
from tests.cli import program
from tests.faces import faces

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md"))]
# What typer adds to the program itself.
EVERYWHERE = {"--help", "-h", "--install-completion", "--show-completion"}


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Yield what follows ``damcli`` at the start of a line of code, or of inline code."""
    text = page.read_text(encoding="utf-8")
    for fenced in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        yield from re.findall(r"^damcli (.+)$", fenced, flags=re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"^    damcli (.+)$", prose, flags=re.MULTILINE)
    yield from (" ".join(found.split()) for found in re.findall(r"`damcli\s+([^`]+)`", prose))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    whole = program()
    for line in commands(page):
        name, *arguments = shlex.split(line, comments=True)
        if name == "COMMAND":  # stands for any of them
            continue
        if name.startswith("-"):
            command, arguments = whole, [name, *arguments]
        else:
            assert name in whole.commands, f"damcli {line}"
            command = whole.commands[name]
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        for argument in arguments:
            if re.match(r"--?[a-z]", argument):
                assert argument.split("=")[0] in known | EVERYWHERE, f"damcli {line}"


def test_options_named_in_prose_exist() -> None:
    whole = program()
    known = {o for c in whole.commands.values() for p in c.params for o in p.opts}
    known |= {o for c in whole.commands.values() for p in c.params for o in p.secondary_opts}
    for page in PAGES:
        for option in re.findall(r"`(--[a-z-]+)[^`]*`", page.read_text(encoding="utf-8")):
            assert option in known | EVERYWHERE, f"{page.name}: {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (page.parent / target.split("#")[0]).exists(), target


def test_scripts_that_the_readme_names_exist() -> None:
    for script in re.findall(r"python (\S+\.py)", README.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), script


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in re.findall(r"^(?: {4})?make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has two files and ran the README's pipeline on them."""
    folder = tmp_path_factory.mktemp("readme")
    save(folder / "faces.npz", faces(60, 4))
    save(folder / "training.npz", faces(80, 2, seed=1, prefix="other"))
    (pipeline,) = [block for block in blocks(README, "sh") if "damcli convert" in block]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["sh", "-e", "-c", pipeline],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def save(path: Path, made: Embeddings) -> None:
    assert made.subjects is not None
    names = {"id": made.ids.astype(str), "subject": made.subjects.astype(str)}
    np.savez(path, embedding=made.vectors, **names)


def test_the_shell_pipeline_of_the_readme(worked: Path) -> None:
    left = {path.name for path in worked.iterdir()}
    assert left >= {"emb.h5", "anchors.h5", "pairs.csv", "scores.csv", "report.json"}
    assert json.loads((worked / "report.json").read_text())["schema"] == "damcli/evaluation"


def test_the_python_of_the_readme(
    worked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(worked)
    (block,) = blocks(README, "python")
    assert sum(bool(line) for line in block.splitlines()) < 10
    exec(compile(block, "README.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["cosine", "DAM-R"]
