"""What ``damcli score`` does with a calibration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import usage_error

if TYPE_CHECKING:
    from damcli.evaluation.llr import LlrQuality
    from damcli.storage.calibration import Calibration


def check_calibration_options(
    calibration: Path | None, probability: bool, prior: float | None
) -> None:
    """Refuse options about calibration that do not go together, before any file is read."""
    if calibration is None and (probability or prior is not None):
        raise usage_error("--probability and --prior need --calibration")
    if probability and prior is None:
        raise usage_error(
            "--probability needs --prior: the share of genuine pairs where the score is used"
        )
    if prior is not None and not 0 < prior < 1:
        raise usage_error(f"--prior {prior:g}: expected a fraction between 0 and 1")


def read_for(path: Path, prior: float | None) -> Calibration:
    """Read a calibration, to be judged at the prior of its use: its own, or the one given."""
    from damcli.storage.calibration import read_calibration

    found = read_calibration(path)
    return found if prior is None else replace(found, prior=prior)


def settings_of(calibration: Calibration | None) -> dict[str, Any]:
    """Return what to record of a calibration with the scores."""
    if calibration is None:
        return {}
    return {"calibration_form": calibration.form, "prior": calibration.prior}


def quality_of_matches(matches: Any, calibration: Calibration) -> LlrQuality:
    """Judge the log-likelihood ratios of labelled pairs."""
    from damcli.evaluation.llr import quality_of_matches as judge
    from damcli.scoring.calibrated import CALIBRATED

    return judge(matches, CALIBRATED, calibration.prior)
