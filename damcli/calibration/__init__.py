"""From labelled development pairs to a score that is a log-likelihood ratio."""

from damcli.calibration.procedure import Calibrated, calibrate

__all__ = ["Calibrated", "calibrate"]
