"""Search watch lists drawn at random: half of the people, one photograph each.

The other photographs of these people are the mated probes, all photographs of the others the
non-mated ones. Prints the means over the draws, the differences to cosine in percent points
with their standard deviation between draws.

    python examples/watch_list.py emb.h5 anchors.h5 --draws 10
"""

from __future__ import annotations

import argparse

import numpy as np

import damcli


def main() -> None:
    """Draw the lists, search them, print a line for each rate and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings")
    parser.add_argument("anchors")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--fpir", default="1e-2,1e-1")
    options = parser.parse_args()
    faces = damcli.read_embeddings(options.embeddings)
    anchors = damcli.read_anchors(options.anchors)
    fpirs = [float(part) for part in options.fpir.split(",")]
    rates = []
    for seed in range(options.draws):
        listed, others = watch_list(faces, seed)
        found = damcli.identify(others, listed, anchors, fpirs=fpirs, resamples=0)
        rates.append(
            [
                [one.value if one else np.nan for one in (*metric.cmc, *metric.tpirs)]
                for metric in found.metrics
            ]
        )
    table = 100 * np.array(rates)
    (counts,) = found.galleries
    print(f"{counts.mated:,} mated and {counts.non_mated:,} non-mated probes (last draw)")
    names = [f"rank {rank}" for rank in found.ranks] + [f"TPIR at FPIR {one:g}" for one in fpirs]
    for place, name in enumerate(names):
        for number, metric in enumerate(found.metrics):
            values = table[:, number, place]
            gains = values - table[:, 0, place]
            said = f"{gains.mean():+.2f} ± {gains.std(ddof=1):.2f}" if number else ""
            print(f"{name:20s} {metric.name:14s} {values.mean():6.2f} %  {said}")


def watch_list(faces: damcli.Embeddings, seed: int) -> tuple[damcli.Embeddings, damcli.Embeddings]:
    """Enrol one photograph of each of half of the people; the rest are probes."""
    assert faces.subjects is not None
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(faces))
    people, first = np.unique(faces.subjects[order].astype(str), return_index=True)
    chosen = np.sort(order[first[rng.permutation(len(people))[: len(people) // 2]]])
    return faces.take(chosen), faces.take(np.setdiff1d(np.arange(len(faces)), chosen))


if __name__ == "__main__":
    main()
