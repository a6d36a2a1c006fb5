"""The packages that are pinned are none with a known vulnerability."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {"pillow": {"floor": "11.3.0", "advisory": "CVE-1", "what": "overflow"}}
PINS = "Pillow==12.0.0\ntorch==2.13.0\n"


def project(*dependencies: str, torch: str = "torch>=2.6") -> dict[str, object]:
    extras = {"torch": [torch]}
    return {"project": {"dependencies": dependencies, "optional-dependencies": extras}}


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import audit

    return audit


def test_this_checkout() -> None:
    script = [sys.executable, str(ROOT / ".ci" / "audit.py")]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("constraints", "dependencies", "told"),
    [
        (PINS, ["Pillow>=11.3"], None),
        (PINS.replace("12.0.0", "11.2.1"), [], "pillow 11.2.1; expected 11.3.0 or newer (CVE-1: "),
        (PINS, ["Pillow>=11"], "Pillow>=11 admits versions below 11.3.0 (CVE-1: overflow)"),
        (PINS, ["Pillow"], "Pillow admits versions below 11.3.0"),
        (PINS, ["rich>=13"], "rich>=13 is not pinned in constraints.txt"),
        (PINS, ["Pillow>=12.1"], "Pillow>=12.1, and constraints.txt pins 12.0.0"),
        (PINS + "pillow==12.0.1\n", [], "'pillow==12.0.1'; expected package==version, once"),
        (PINS.replace("torch==", "torch>="), [], "'torch>=2.13.0'; expected package==version"),
        ("torch==2.13.0\n", [], "pillow is in no constraints.txt"),
    ],
)
def test_faults(audit: ModuleType, constraints: str, dependencies: list[str], told) -> None:
    found = list(audit.faults(constraints, project(*dependencies), FLOORS))
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_extras_count_too(audit: ModuleType) -> None:
    (found,) = audit.faults(PINS, project(torch="torch>=2.14"), FLOORS)
    assert "torch>=2.14, and constraints.txt pins 2.13.0" in found
