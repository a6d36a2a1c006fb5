"""The calibrated score against cosine and DAM, on people that nothing was fitted to.

``python benchmarks/calibration.py faces.npz`` parts the people of a set at random: half
are anchors, a quarter is calibrated on, a quarter is scored. With ``--anchors`` half of the people
is calibrated on and half scored. Both files hold ``embedding`` (N, D) and the first ``subject``.
``--min-norm`` drops embeddings that were shorter before normalisation, such as failed crops.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import damcli
from damcli.scoring.all_pairs import all_pairs
from damcli.storage.embeddings import Embeddings

FARS = (1e-4, 1e-3, 1e-2)
NAMES = ("cosine", "DAM-R", "calibrated")


def main() -> None:
    """Print mean rates over the splits, and how often the calibrated score was surely other."""
    options = _options()
    people = _read(options.faces, options.min_norm)
    others = None if options.anchors is None else _clean(_anchors(options.anchors), people)
    rates, sure, forms, llr = [], Counter(), Counter(), []
    for seed in range(options.seed, options.seed + options.splits):
        found = _split(people, others, seed, options.resamples)
        rates.append(found[0])
        sure.update(found[1])
        forms[found[2]] += 1
        llr.append(found[3])
        print(f"seed {seed}: {found[2]}", *np.round(found[0][2], 4), flush=True)
    print(f"{'':12}" + "".join(f"{'TAR@' + format(far, 'g'):>10}" for far in FARS) + f"{'EER':>10}")
    for name, row in zip(NAMES, np.mean(rates, axis=0), strict=True):
        print(f"{name:12}" + "".join(f"{100 * value:10.2f}" for value in row))
    print("forms:", dict(forms), " significant:", dict(sure) or "nothing")
    print("Cllr, minimum Cllr, ECE:", np.round(np.mean(llr, axis=0), 4))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--anchors", type=Path, nargs="+")
    parser.add_argument("--min-norm", type=float, default=0.0)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=500)
    return parser.parse_args()


def _read(path: Path, min_norm: float) -> Embeddings:
    with np.load(path) as file:
        vectors, subjects = file["embedding"], file["subject"]
    kept = np.linalg.norm(vectors, axis=1) >= min_norm
    ids = [f"{subjects[row]}/{row}" for row in np.flatnonzero(kept)]
    return Embeddings.from_arrays(vectors[kept], ids, subjects[kept].astype(str))


def _anchors(paths: list[Path]) -> Embeddings:
    vectors = np.concatenate([np.load(path)["embedding"] for path in paths])
    return Embeddings.from_arrays(vectors, [f"anchor/{row}" for row in range(len(vectors))])


def _clean(anchors: Embeddings, people: Embeddings) -> Embeddings:
    """Leave out anchors that look like somebody who is scored (similarity above 0.5)."""
    nearest = [
        (anchors.vectors[i : i + 2000] @ people.vectors.T).max(axis=1)
        for i in range(0, len(anchors), 2000)
    ]
    return anchors.take(np.flatnonzero(np.concatenate(nearest) <= 0.5))


def _split(
    people: Embeddings, anchors: Embeddings | None, seed: int, resamples: int
) -> tuple[np.ndarray, list[str], str, tuple[float, float, float]]:
    subjects = np.unique(people.subjects.astype(str))
    dealt = np.random.default_rng(seed).permutation(subjects)
    if anchors is None:
        half = len(dealt) // 2
        anchors = people.take(np.flatnonzero(np.isin(people.subjects, dealt[:half])))
        dealt = dealt[half:]
    chosen = damcli.Anchors.of(anchors, kind="real-db")
    half = len(dealt) // 2
    development, test = (
        people.take(np.flatnonzero(np.isin(people.subjects, part)))
        for part in (dealt[:half], dealt[half:])
    )
    found = damcli.calibrate(
        all_pairs(development), development, chosen, fars=FARS, resamples=resamples, seed=seed
    )
    return _judge(test, chosen, found.calibration, resamples)


def _judge(
    test: Embeddings, anchors: damcli.Anchors, calibration: damcli.Calibration, resamples: int
) -> tuple[np.ndarray, list[str], str, tuple[float, float, float]]:
    from damcli.evaluation.llr import quality_of_matches

    # Evaluated twice, since differences are taken to the first metric.
    matches = damcli.score(all_pairs(test), test, anchors, calibration=calibration).matches()
    to_cosine = damcli.evaluate(matches, fars=FARS, resamples=resamples)
    to_dam = damcli.evaluate(_FromDam(matches), fars=FARS, resamples=resamples)
    rates = np.array([[*(tar.value for tar in m.tars), m.eer.value] for m in to_cosine.metrics[:3]])
    sure = []
    for name, calibrated in (("cosine", to_cosine.metrics[2]), ("DAM-R", to_dam.metrics[1])):
        places = [*(f"TAR@{far:g}" for far in FARS), "EER"]
        for place, estimate in zip(places, (*calibrated.tars, calibrated.eer), strict=True):
            low, high = estimate.difference_interval
            if low > 0 or high < 0:
                better = (low > 0) != (place == "EER")
                sure.append(f"{'better' if better else 'WORSE'} than {name} at {place}")
    quality = quality_of_matches(matches, "calibrated", calibration.prior)
    return rates, sure, calibration.form, (quality.cllr, quality.min_cllr, quality.ece)


class _FromDam:
    """The same matches with DAM as the baseline, and the calibrated score beside it."""

    def __init__(self, matches: object) -> None:
        self._matches = matches
        self.metrics = ("DAM-R", "calibrated")

    def __getattr__(self, name: str) -> object:
        return getattr(self._matches, name)

    def genuine(self) -> object:
        """Yield the genuine pairs."""
        return (chunk._replace(scores=chunk.scores[1:3]) for chunk in self._matches.genuine())

    def impostors(self) -> object:
        """Yield the impostor pairs."""
        return (chunk._replace(scores=chunk.scores[1:3]) for chunk in self._matches.impostors())


if __name__ == "__main__":
    main()
