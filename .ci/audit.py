"""Hold what is installed against what is known to be bad, without network.

``constraints.txt`` pins every package; ``floors.toml`` says below which version each is known
to be vulnerable. Ends with 1, and one line a fault, where they do not go together.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).parent


def faults(
    constraints: str, project: Mapping[str, Any], floors: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Name each fault in a line.

    Parameters
    ----------
    constraints
        Lines ``package==version``.
    project
        The content of ``pyproject.toml``.
    floors
        By package its ``floor``, ``advisory`` and ``what``.
    """
    pins: dict[str, Version] = {}
    for line in constraints.splitlines():
        wanted = Requirement(line)
        (pin,) = wanted.specifier
        name = canonicalize_name(wanted.name)
        if pin.operator != "==" or name in pins:
            yield f"constraints.txt: '{line}'; expected package==version, once"
        pins[name] = Version(pin.version)
    for name, known in floors.items():
        if name not in pins:
            yield f"floors.toml: {name} is in no constraints.txt; expected a package that is used"
        elif pins[name] < Version(known["floor"]):
            yield (
                f"constraints.txt: {name} {pins[name]}; expected {known['floor']} or newer "
                f"({known['advisory']}: {known['what']})"
            )
    for wanted in _requirements(project):
        yield from _of_project(wanted, pins, floors)


def _requirements(project: Mapping[str, Any]) -> Iterator[Requirement]:
    known = project["project"]
    for listed in (known["dependencies"], *known["optional-dependencies"].values()):
        yield from map(Requirement, listed)


def _of_project(
    wanted: Requirement, pins: Mapping[str, Version], floors: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    name = canonicalize_name(wanted.name)
    if name not in pins:
        yield f"pyproject.toml: {wanted} is not pinned in constraints.txt"
    elif pins[name] not in wanted.specifier:
        yield f"pyproject.toml: {wanted}, and constraints.txt pins {pins[name]}"
    lowest = [Version(one.version) for one in wanted.specifier if one.operator in (">=", "==")]
    if name in floors and max(lowest, default=Version("0")) < Version(floors[name]["floor"]):
        yield (
            f"pyproject.toml: {wanted} admits versions below {floors[name]['floor']} "
            f"({floors[name]['advisory']}: {floors[name]['what']})"
        )


def main() -> int:
    """Audit this checkout; return the exit code."""
    root = HERE.parent
    found = list(
        faults(
            (root / "constraints.txt").read_text(),
            tomllib.loads((root / "pyproject.toml").read_text()),
            tomllib.loads((HERE / "floors.toml").read_text()),
        )
    )
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
