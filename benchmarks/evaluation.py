"""Evaluate 10 million scores: damcli's counts against scikit-learn's ROC curve."""

from __future__ import annotations

import argparse

import numpy as np
from rounds import compare, row
from sklearn.metrics import roc_auc_score, roc_curve

from damcli.evaluation.counts import count_matches
from damcli.evaluation.rates import area_under_roc, equal_error_rate, operating_point
from damcli.scoring.matches import MatchSpool

GENUINE, IMPOSTORS = 20_000, 10_000_000
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


def main() -> None:
    """Print both medians and their ratio, after checking that the results agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    genuine, impostors = rng.normal(3, 1, GENUINE), rng.normal(0, 1, IMPOSTORS)
    scores = np.concatenate([genuine, impostors])
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [GENUINE, IMPOSTORS])
    matches = MatchSpool(["score"])
    matches.append(labels, [scores])

    def ours() -> tuple[list[float | None], float, float]:
        (counts,) = count_matches(matches, FARS)
        tars = [operating_point(counts, far).tar for far in FARS]
        return tars, equal_error_rate(counts).rate, area_under_roc(counts)

    def theirs() -> tuple[list[float], float]:
        far, tar, _ = roc_curve(labels, scores, drop_intermediate=False)
        tars = [tar[np.searchsorted(far, wanted, "right") - 1] for wanted in FARS]
        return tars, roc_auc_score(labels, scores)

    found, expected = ours(), theirs()
    assert np.allclose(found[0], expected[0]), (found, expected)
    assert np.isclose(found[2], expected[1])
    medians = compare({"damcli": ours, "roc_curve + roc_auc_score": theirs}, rounds=given.rounds)
    ratio = medians["roc_curve + roc_auc_score"] / medians["damcli"]
    row("TAR@FAR, EER and AUC of 10 M scores", "scikit-learn", f"{ratio:.0f}x", ">= 40x")


if __name__ == "__main__":
    main()
