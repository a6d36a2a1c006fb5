"""From scored pairs to ROC points, EER, accuracy, and how sure one can be of each."""

from damcli.evaluation.evaluate import DEFAULT_FARS, evaluate
from damcli.evaluation.results import Evaluation

__all__ = ["DEFAULT_FARS", "Evaluation", "evaluate"]
