"""Search a gallery by cosine and both forms of DAM, against plain searches by cosine.

The peer is three searches of a faiss index for the cosine alone. On top of that come, exactly:
ranks by three scores, in float64, counted by subjects.
"""

from __future__ import annotations

import argparse
import resource

import faiss
import numpy as np
from numpy.typing import NDArray
from rounds import compare, row

from damcli.identification.forms import GalleryTerms, forms_of
from damcli.identification.gallery import NOBODY, Gallery, Probes
from damcli.identification.search import PROBE_ROWS
from damcli.storage.embeddings import Embeddings, as_names

KEEP = 11


def main() -> None:
    """Make both sides, search them both ways, and check the highest cosines agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=10_000)
    parser.add_argument("--gallery", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    probes = _unit(rng, options.probes, options.dim)
    entries = _unit(rng, options.gallery, options.dim)
    # About as log LIDs of real faces are spread at s = 1.
    lids = [rng.normal(2.6, 0.05, size=count) for count in (options.probes, options.gallery)]
    gallery = Gallery(
        Embeddings(entries, as_names(range(len(entries)))),
        np.arange(len(entries)),
        GalleryTerms(lids[1], 1.0),
        forms_of("DAM-R"),
    )
    blocks = [slice(start, start + PROBE_ROWS) for start in range(0, len(probes), PROBE_ROWS)]
    found: dict[str, NDArray[np.float64]] = {}

    def damcli() -> None:
        tops = [
            gallery.top(
                Probes(probes[block], lids[0][block], np.full(len(probes[block]), NOBODY)), KEEP
            )
            for block in blocks
        ]
        found["damcli"] = np.concatenate([top.scores[0] for top in tops])

    def plain() -> None:
        index = faiss.IndexFlatIP(options.dim)
        index.add(entries)
        for _ in range(3):
            searched = [index.search(probes[block], KEEP)[0] for block in blocks]
        found["plain"] = np.concatenate(searched).astype(np.float64)

    medians = compare({"damcli": damcli, "three searches by cosine": plain}, options.rounds)
    assert np.allclose(found["damcli"], found["plain"], atol=1e-5)
    ratio = medians["damcli"] / medians["three searches by cosine"]
    work = f"1:N by three scores, {options.probes:,} probes in {options.gallery:,} x {options.dim}"
    row(work, "three faiss searches by cosine", f"{ratio:.2f}x the time")
    print(
        f"searched twice: {gallery.widened}, compared with everybody: {gallery.compared_with_all}; "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB, of which "
        f"{(probes.nbytes + entries.nbytes) / 2**30:.2f} GiB are the embeddings"
    )


def _unit(rng: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    vectors = rng.standard_normal((count, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
