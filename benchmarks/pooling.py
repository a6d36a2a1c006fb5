"""Pool IJB-C's 469,375 images of 23,124 templates, against the usual loop over templates.

The loop takes the templates one at a time, each with a search of the whole list, as the script
that comes with insightface does. Both contenders have all embeddings in memory; the command
reads them block by block.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from rounds import compare, row

import damcli
from damcli.pooling.modes import Pooling
from damcli.pooling.sums import Members, template_sums
from damcli.storage.embeddings import BLOCK_ROWS
from damcli.storage.hdf5 import EMBEDDINGS, FORMAT_VERSION

IMAGES, TEMPLATES, DIM = 469_375, 23_124, 512


def main() -> None:
    """Make the files, pool them in a process of its own, time the loop, and check it agrees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--templates", type=int, default=TEMPLATES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        templates, media = _make_files(folder, options.images, options.templates)
        command = [sys.executable, "-m", "damcli", "pool", str(folder / "emb.h5"), "--raw-norm"]
        command += ["--templates", str(folder / "list.txt"), "-o", str(folder / "templates.h5")]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            sys.exit("damcli pool failed")
        images = damcli.read_embeddings(folder / "emb.h5")
        made = damcli.read_embeddings(folder / "templates.h5")
    assert images.norms is not None
    raw = images.vectors * images.norms[:, None]
    rows = np.arange(options.images)
    media += 10 * templates  # numbers that no two templates share

    def sums() -> NDArray[np.float64]:
        members = Members.of(rows, templates - 1, media, None)
        return template_sums(images, members, options.templates, Pooling(raw_norm=True)).vectors

    def loop() -> NDArray[np.float64]:
        return np.stack([_by_loop(raw, templates, media, n + 1) for n in range(options.templates)])

    found, expected = sums(), loop()
    assert np.allclose(found, expected, atol=1e-4)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    names = np.array([str(number + 1) for number in range(options.templates)], dtype=object)
    assert np.allclose(made.vectors[made.rows_of(names)], unit, atol=1e-6)
    print(
        f"damcli pool, from file to file: {seconds:.1f} s, peak {usage.ru_maxrss / 2**20:.2f} GiB"
    )
    medians = compare({"damcli": sums, "loop over templates": loop}, rounds=3)
    ratio = medians["loop over templates"] / medians["damcli"]
    work = f"pooling {options.images:,} images to {options.templates:,} templates"
    row(work, "a loop over templates", f"{ratio:.1f}x")


def _by_loop(
    raw: NDArray[np.float32], templates: NDArray[np.int64], media: NDArray[np.int64], number: int
) -> NDArray[np.float64]:
    (rows,) = np.where(templates == number)
    summed = np.zeros(raw.shape[1])
    for medium in np.unique(media[rows]):
        (inside,) = np.where(media[rows] == medium)
        summed += raw[rows][inside].mean(axis=0)
    return summed


def _make_files(
    folder: Path, images: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write embeddings and a list; templates have from 1 to some hundreds of images, as IJB-C's."""
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(0, 1.5, count)
    edges = np.sort(rng.choice(count, images - count, p=sizes / sizes.sum()))
    templates = np.sort(np.concatenate([np.arange(count), edges])) + 1
    media = rng.integers(1, 6, images)
    with (folder / "list.txt").open("w") as file:
        file.writelines(
            f"{row + 1}.jpg {template} {medium}\n"
            for row, (template, medium) in enumerate(zip(templates, media, strict=True))
        )
    with h5py.File(folder / "emb.h5", "w") as file:
        file.attrs["format"], file.attrs["format_version"] = EMBEDDINGS, FORMAT_VERSION
        ids = [f"{row + 1}.jpg" for row in range(images)]
        file.create_dataset("id", data=ids, dtype=h5py.string_dtype())
        file["norm"] = rng.uniform(5, 25, images).astype(np.float32)
        vectors = file.create_dataset("embedding", (images, DIM), "float32", chunks=(1024, DIM))
        for start in range(0, images, BLOCK_ROWS):
            block = rng.standard_normal((min(BLOCK_ROWS, images - start), DIM), dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            vectors[start : start + len(block)] = block
    return templates, media


if __name__ == "__main__":
    main()
