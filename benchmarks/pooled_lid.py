"""LIDs of pooled vectors against the mean of their images' LIDs, on all pairs of templates.

python benchmarks/pooled_lid.py EMBEDDINGS ANCHORS [--most 5] [--draws 10] [--far 1e-4,1e-3]

Each draw cuts at most 15 photographs of every subject into templates of 1 to MOST, at random.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import damcli
from damcli.lid.pooled import pooled_lid
from damcli.metrics import log_dam
from damcli.protocols.pairs import Coded
from damcli.protocols.templates import TemplateList
from damcli.scoring.score import scored
from damcli.scoring.scorer import Rival, Scorer
from damcli.scoring.sides import Sides
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings, as_names

_PER_SUBJECT = 15
Floats = NDArray[np.float64]


def main() -> None:
    """Print the mean TAR of each, and their differences with the deviation between draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings")
    parser.add_argument("anchors")
    parser.add_argument("--most", type=int, default=5)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--far", default="1e-6,1e-5,1e-4,1e-3")
    options = parser.parse_args()
    images, anchors = (
        damcli.read_embeddings(options.embeddings),
        damcli.read_anchors(options.anchors),
    )
    fars = [float(far) for far in options.far.split(",")]
    tars = np.array(
        [
            _tars(images, _cut(images, options.most, np.random.default_rng(draw)), anchors, fars)
            for draw in range(options.draws)
        ]
    )
    print(f"{'FAR':28s}", *(f"{far:16g}" for far in fars))
    for place, name in enumerate(("cosine", "DAM-R, own LID", "DAM-R, pooled LID")):
        print(f"{name:28s}", *(f"{value:16.4f}" for value in tars[:, place].mean(axis=0)))
    for name, one, other in (("own - cosine", 1, 0), ("pooled - own", 2, 1)):
        change = tars[:, one] - tars[:, other]
        shown = zip(change.mean(axis=0), change.std(axis=0, ddof=1), strict=True)
        print(f"{name:28s}", *(f"{mean:+8.4f} ±{spread:6.4f}" for mean, spread in shown))


def _cut(images: Embeddings, most: int, rng: np.random.Generator) -> TemplateList:
    """Cut each subject's photographs into templates; each photograph is a medium."""
    parts = list(_parts(images, most, rng))
    codes = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    rows = np.concatenate(parts)
    return TemplateList(
        origin="templates drawn at random",
        templates=Coded(codes, as_names(range(len(parts)))),
        media=np.arange(len(rows)),
        images=Coded(rows, images.ids),
        lines=rows + 1,
    )


def _parts(images: Embeddings, most: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    assert images.subjects is not None
    for name in np.unique(images.subjects.astype(str)):
        rows = rng.permutation(np.flatnonzero(images.subjects == name))[:_PER_SUBJECT]
        while len(rows):
            size = int(rng.integers(1, most + 1))
            yield rows[:size]
            rows = rows[size:]


def _tars(
    images: Embeddings, templates: TemplateList, anchors: Anchors, fars: list[float]
) -> list[list[float]]:
    made = damcli.pool(images, templates, anchors=anchors).templates
    lids = {"own": damcli.log_lid(made, anchors), "pooled": pooled_lid(made).log_lid(made)}

    def dam(name: str) -> Rival:
        def of(cosine: Floats, probe: tuple[Floats], reference: tuple[Floats]) -> Floats:
            return log_dam(cosine, probe[0], reference[0])

        return Rival(name, name, of, (lids[name],), (lids[name],))

    scorer = Scorer(made, made, rivals=(dam("own"), dam("pooled")))
    pairs = scored(damcli.all_pairs(made), Sides(made, made), lambda _: scorer)
    result = damcli.evaluate(pairs, fars=fars, resamples=0)
    return [[tar.value for tar in metric.tars] for metric in result.metrics]


if __name__ == "__main__":
    main()
