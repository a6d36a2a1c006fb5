"""From scored pairs to ROC points, EER, accuracy, and how sure one can be of each."""

from damcli.evaluation.evaluate import DEFAULT_FARS, check_fars, evaluate
from damcli.evaluation.results import Evaluation
from damcli.evaluation.thresholds import apply_threshold, pick_threshold

__all__ = [
    "DEFAULT_FARS",
    "Evaluation",
    "apply_threshold",
    "check_fars",
    "evaluate",
    "pick_threshold",
]
