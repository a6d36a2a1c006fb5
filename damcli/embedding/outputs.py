"""The files of a run: what may be there before it, and what it leaves."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from damcli.embedding.batches import Reject
from damcli.embedding.kept import Finished, Kept, Stored, check_contract, open_partials
from damcli.errors import OutputError
from damcli.sources.detection import write_landmarks
from damcli.storage.atomic import atomic_output, check_writable
from damcli.storage.embeddings import Rows
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.inputs import real_path
from damcli.storage.journal import discard
from damcli.storage.partial import Contract, partials_of


@dataclass(frozen=True)
class Outputs:
    """An embeddings file and what stands beside it.

    Attributes
    ----------
    embeddings
        The HDF5 file.
    """

    embeddings: Path

    @property
    def rejects(self) -> Path:
        """The images that gave no embedding."""
        return self.embeddings.with_suffix(".rejects.csv")

    @property
    def landmarks(self) -> Path:
        """The landmarks that were detected."""
        return self.embeddings.with_suffix(".landmarks.csv")

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """Every file that a run may write."""
        return (self.embeddings, self.rejects, self.landmarks)

    def refuse_as_inputs(self, inputs: Iterable[Path]) -> None:
        """Refuse files that the run reads and would write over.

        Raises
        ------
        OutputError
            One of the inputs bears the name of an output, or of what is listed beside it.
        """
        written = {real_path(path): path for path in self.all}
        for path in inputs:
            if real_path(path) in written:
                raise OutputError(
                    f"{path}: is read here, and is where {self.embeddings} lists what it found",
                    hint="choose another name for --output",
                )

    def check(self, *, resume: bool, force: bool) -> None:
        """Refuse what would be lost, or could not be written.

        Raises
        ------
        OutputError
            An output is there, whole or in part, and neither option says what to do.
        """
        partials = partials_of(self.embeddings)
        if partials and not (resume or force):  # its lists may be there already
            raise OutputError(
                f"{self.embeddings}: an interrupted run left {partials[0].name}",
                hint="go on where it stopped with --resume, or start over with --force",
            )
        for path in self.all:
            check_writable(path, force=resume or force)

    def begin(self, *, resume: bool, force: bool) -> None:
        """Check, and with force start over; raises as `check` does."""
        self.check(resume=resume, force=force)
        if force:
            self._remove_journals()

    def open(self, contract: Contract, *, resume: bool) -> Kept:
        """Open what earlier runs have kept.

        Raises
        ------
        InputError
            It was made in another way, or is damaged.
        """
        pieces: list[Stored] = list(open_partials(self.embeddings, contract))
        if resume and self.embeddings.exists():
            finished = Finished(self.embeddings, self.landmarks)
            origin = str(self.embeddings)
            check_contract(origin, finished.contract(list(contract)), contract)
            if finished.dim != (pieces[0].dim if pieces else finished.dim):
                raise OutputError(f"{origin}: of dimension {finished.dim}, not {pieces[0].dim}")
            pieces.append(finished)
        return Kept(pieces, str(self.embeddings))

    def write(
        self,
        kept: Kept,
        rows: Rows,
        *,
        dtype: str,
        rejects: Sequence[Reject],
        facts: Mapping[str, str],
        force: bool,
    ) -> None:
        """Write everything, in the order of the rows, and remove the journals.

        The lists come first, the embeddings after them, and the journals go last: where there
        are embeddings of a run, what belongs to them is there, and while there are journals a
        run that goes on writes all of it again.

        Parameters
        ----------
        kept
            All that is there.
        rows
            Which of it, in which order.
        dtype
            Of the vectors on disk.
        rejects
            What is to be listed.
        facts
            How the embeddings were made.
        force
            Replace what is there; else what another run made meanwhile stays.

        Raises
        ------
        OutputError
            An output cannot be written.
        """
        check_writable(self.embeddings, force=force)
        self._write_rejects(rejects)
        detected = ~np.isnan(kept.landmarks[rows]).any(axis=(1, 2))
        if detected.any():
            found = rows[detected]
            write_landmarks(
                self.landmarks, list(kept.ids[found]), kept.landmarks[found], force=True
            )
        kept.attributes.update(facts, rejects=len(rejects))
        write_embeddings(self.embeddings, kept, rows=rows, dtype=dtype, force=force)
        self._remove_journals()

    def _remove_journals(self) -> None:
        for path in partials_of(self.embeddings):
            discard(path)

    def _write_rejects(self, rejects: Sequence[Reject]) -> None:
        if not rejects:  # a list of an earlier run would not be true any more
            self.rejects.unlink(missing_ok=True)
            return
        with (
            atomic_output(self.rejects, force=True) as draft,
            draft.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("id", "place", "reason"))
            writer.writerows(reject[:3] for reject in rejects)
