"""Cosine, DAM-R and DAM-L on all pairs of one file, the regressor fitted to a pool of others.

python benchmarks/lidr.py POOL ANCHORS TEST [--far 1e-4] [--seeds 3]
"""

from __future__ import annotations

import argparse

import damcli


def main() -> None:
    """Print a line for each recipe and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pool", "anchors", "test"):
        parser.add_argument(name)
    parser.add_argument("--far", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    pool, test = damcli.open_embeddings(options.pool), damcli.read_embeddings(options.test)
    anchors = damcli.read_anchors(options.anchors)

    def tars(**source: object) -> list[float]:
        scores = damcli.score(damcli.all_pairs(test), test, **source)
        result = damcli.evaluate(scores.matches(), fars=[options.far], resamples=0)
        return [metric.tars[0].value for metric in result.metrics]

    cosine, dam_r = tars(anchors=anchors)
    print(f"TAR at FAR {options.far:g}: cosine {cosine:.4f}, DAM-R {dam_r:.4f}")
    for recipe in ("tuned", "paper"):
        for seed in range(options.seeds):
            lidr = damcli.fit_lidr(pool, anchors, recipe=recipe, seed=seed)
            r2, rank = (lidr.attributes[f"heldout_{name}"] for name in ("r2", "spearman"))
            print(
                f"{recipe}, seed {seed}: DAM-L {tars(lidr=lidr)[1]:.4f}; "
                f"held-out R² {r2:.3f}, Spearman {rank:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
