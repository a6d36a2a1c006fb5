"""From scored pairs to ROC points, EER, accuracy, and how sure one can be of each."""

from damcli.evaluation.evaluate import DEFAULT_FARS, check_fars, evaluate, require_both_classes
from damcli.evaluation.results import Evaluation

__all__ = ["DEFAULT_FARS", "Evaluation", "check_fars", "evaluate", "require_both_classes"]
