"""Verification while a model is being trained: pairs it has not seen, in their own metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from damcli.errors import InputError
from damcli.evaluation import evaluate
from damcli.evaluation.counts import allowed_false_accepts
from damcli.models.preprocessing import Preprocessing
from damcli.protocols.bins import read_insightface_bin
from damcli.protocols.pairs import PairChunk, PairList, PairSource
from damcli.scoring.all_pairs import AllPairs
from damcli.scoring.matches import Matches
from damcli.scoring.score import score
from damcli.sources.lines import text_suffix
from damcli.sources.lists import LIST_SUFFIXES
from damcli.sources.opening import open_source
from damcli.sources.source import ImageSource
from damcli.storage.embeddings import Embeddings, Rows
from damcli.training.validation_images import KEEP_BYTES, Embed, ValidationImages

FAR = 1e-3
PAIR_SUFFIXES = (*LIST_SUFFIXES, ".parquet", ".pq")
_HIGHEST_FAR = 0.1


class Validated(NamedTuple):
    """What a validation found; all rates are fractions."""

    metric: str
    """``accuracy`` (mean over folds), or ``tar@FAR``."""
    value: float
    """In [0, 1], higher is better."""
    further: dict[str, float]
    """``eer``, and for folds ``standard_error`` and ``tar@FAR``, otherwise ``auc``."""


class Validation:
    """Images, and the pairs of them that a model is tried on.

    Parameters
    ----------
    name
        What logs call it.
    images
        The images.
    pairs
        Labelled pairs of their ids; None for all pairs, labelled by the subjects.
    far
        The false accept rate to tell TAR at. Where that allows no impostor pair, it is
        taken ten times as high until it does, and noted.

    Attributes
    ----------
    metric
        What `run` tells: ``accuracy`` where the pairs come in folds, otherwise ``tar@FAR``.
    notes
        What the user should hear of.

    Raises
    ------
    InputError
        The pairs are too few, of one class, or not to be judged by their metric.
    """

    def __init__(
        self, name: str, images: ValidationImages, pairs: PairSource | None, *, far: float = FAR
    ) -> None:
        self.name, self.images = name, images
        self._pairs = pairs
        # Whatever is wrong with the pairs shows on noise, and not after hours of training.
        noise = np.random.default_rng(0).normal(size=(len(images), 8)).astype(np.float32)
        trial = images.as_embeddings(noise)
        self._far = _affordable(far, self._scores(trial))
        self.metric = self._judge(trial).metric
        self.notes: tuple[str, ...] = ()
        if self._far != far:
            self.notes = (
                f"{name}: too few impostor pairs for FAR {far:g}; TAR is told at {self._far:g}",
            )

    def run(self, embed: Embed) -> Validated:
        """Embed the images and judge the pairs by cosine.

        Parameters
        ----------
        embed
            The model as it stands: (B, 3, H, W) float32 as the preprocessing makes it to
            (B, D) float32 of any length. The batches are the same each time.

        Raises
        ------
        UserError
            An output is not finite, or all zeros.
        InputError
            An image is gone that was there at the opening.
        """
        return self._judge(self.images.embed(embed))

    def _scores(self, embeddings: Embeddings) -> Matches:
        pairs = AllPairs(embeddings) if self._pairs is None else self._pairs
        return score(pairs, embeddings).matches()

    def _judge(self, embeddings: Embeddings) -> Validated:
        found = evaluate(self._scores(embeddings), fars=[self._far], resamples=0).metrics[0]
        (tar,) = found.tars
        assert tar is not None
        named, eer = f"tar@{self._far:g}", found.eer.value
        if found.folds is None:
            return Validated(named, tar.value, {"eer": eer, "auc": found.auc.value})
        accuracy, error, _ = found.folds
        return Validated(
            "accuracy", accuracy, {"standard_error": error, named: tar.value, "eer": eer}
        )


def _affordable(far: float, matches: Matches) -> float:
    """Raise a FAR tenfold until it allows a false accept."""
    while not allowed_false_accepts(far, matches.impostor_count):
        far *= 10
        if far > _HIGHEST_FAR:
            raise InputError(
                matches.origin,
                f"{matches.impostor_count} impostor pairs; expected at least 10",
                hint="validate on more pairs, or on more subjects",
            )
    return far


@dataclass(frozen=True)
class _HeldPairs:
    """A pair list in memory, so that a run does not depend on its file; see `PairSource`."""

    origin: str
    has_folds: bool
    held: tuple[PairChunk, ...]
    labelled: bool = True
    group_names: tuple[str, ...] = ()

    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs in order."""
        return iter(self.held)


def open_validation(
    spec: str,
    *,
    preprocessing: Preprocessing,
    far: float = FAR,
    flip: bool = False,
    keep_bytes: int = KEEP_BYTES,
) -> Validation:
    """Open what ``--validate`` names, and read all of its images once.

    =====================  =============================================  ====================
    ``spec``               pairs                                          metric
    =====================  =============================================  ====================
    ``lfw.bin``            insightface's, in consecutive tenths           accuracy over folds
    ``pairs.csv``          a list ``probe_id,reference_id,label[,fold]``  accuracy over folds,
                           of paths relative to the list's own folder     or TAR at a FAR
    ``pairs.csv=IMAGES``   the same, of ids of another source of images   the same
    a folder, ``.rec``, …  all pairs, labelled by the subjects            TAR at a FAR
    =====================  =============================================  ====================

    IMAGES is anything that `damcli.open_source` takes, and ids are what it gives: of a
    folder, the paths in it.

    Parameters
    ----------
    spec
        As the user gave it.
    preprocessing
        What the model takes; whole images are resized to its size.
    far
        False accept rate for TAR, between 0 and 1; see `Validation`.
    flip
        Add the outputs for an image and its mirror image.
    keep_bytes
        Decoded images are held in memory up to so many bytes, and above that decoded anew
        for each run.

    Raises
    ------
    InputError
        An image is missing or broken, a row of the list is not what it should be, subjects
        or labels are not known, or the pairs cannot be judged by their metric.
    """
    path, images = _parts(spec)
    listed = None if images is None else _labelled(path)  # before a large folder is walked
    source = open_source(spec if images is None else images)
    pairs: PairSource | None = None
    rows = np.arange(len(source), dtype=np.int64)
    if listed is not None:
        pairs, rows = listed, _rows_of(listed, source)
    elif path.suffix.lower() == ".bin":
        pairs = read_insightface_bin(path)
    elif not source.has_subjects:
        raise InputError(
            spec,
            "its images carry no subjects, so its pairs cannot be labelled",
            hint="give a folder of folders, one a subject, or a list of pairs: pairs.csv=IMAGES",
        )
    kept = ValidationImages(source, rows, preprocessing, flip=flip, keep_bytes=keep_bytes)
    name = path.resolve().name if path.is_dir() else path.stem
    return Validation(name, kept, pairs, far=far)


def _parts(spec: str) -> tuple[Path, str | None]:
    """Part a spec into a file of pairs and its images; None where it is images alone."""
    if not Path(spec).exists():
        for place, letter in enumerate(spec):
            if letter == "=" and _is_list(spec[:place]):
                return Path(spec[:place]), spec[place + 1 :]
    return Path(spec), str(Path(spec).parent) if _is_list(spec) else None


def _is_list(name: str) -> bool:
    return text_suffix(name) in PAIR_SUFFIXES and not Path(name).is_dir()


def _labelled(path: Path) -> _HeldPairs:
    """Read a pair list into memory."""
    listed = PairList(path)
    if not listed.labelled:
        raise InputError(
            str(path),
            "carries no labels, so it cannot be judged; expected probe_id,reference_id,label",
        )
    held = tuple(replace(chunk, groups={}) for chunk in listed.chunks())
    return _HeldPairs(str(path), listed.has_folds, held)


def _rows_of(pairs: _HeldPairs, source: ImageSource) -> Rows:
    """Find the rows of the images that pairs name."""
    row_of = {source.id_of(row): row for row in range(len(source))}
    used: set[int] = set()
    for chunk in pairs.held:
        for side in (chunk.probes, chunk.references):
            for code, name in enumerate(side.names):
                if name not in row_of:
                    at = int(np.flatnonzero(side.codes == code)[0])
                    raise _unknown(pairs.origin, str(name), chunk.lines[at], source)
                used.add(row_of[name])
    return np.array(sorted(used), dtype=np.int64)


def _unknown(origin: str, name: str, line: int, source: ImageSource) -> InputError:
    return InputError(
        origin,
        f"image '{name}' is not in {source.origin}",
        row=line,
        hint=f"its images have ids such as '{source.id_of(0)}'; say where others lie: "
        f"{origin}=IMAGES",
    )
