"""The log of a run: a CSV that a resumed run continues, and TensorBoard for who wants it."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from damcli.errors import InputError, MissingExtra, OutputError
from damcli.storage.atomic import atomic_output, is_disk_full

COLUMNS = ("step", "epoch", "loss", "lr", "images_per_second")


class Row(NamedTuple):
    """The state of a run after some step."""

    step: int
    epoch: float
    loss: float
    """Mean over the steps since the row before."""
    lr: float
    images_per_second: float
    """Since the row before; validations and checkpoints are left out."""
    validations: Mapping[str, float]
    """By their columns, ``NAME metric``; empty where this step has none."""


class Log:
    """The log of a run, flushed row by row.

    Parameters
    ----------
    path
        The ``.csv``.
    step
        Rows after this step are cut off; 0 begins anew.
    board
        A folder for TensorBoard, or None.

    Raises
    ------
    MissingExtra
        TensorBoard is wanted and not installed.
    InputError
        The log to continue is none.
    OutputError
        It cannot be written.
    """

    def __init__(self, path: Path, *, step: int, board: Path | None = None) -> None:
        self._path = path
        self._board = None if board is None else _open_board(board, step)
        kept = _rows_until(path, step) if step and path.exists() else []
        self._begin(COLUMNS if not kept else tuple(kept[0]), kept)

    def write(self, row: Row) -> None:
        """Append a row.

        Raises
        ------
        OutputError
            The disk is full or fails.
        """
        cells: dict[str, Any] = dict(zip(COLUMNS, row, strict=False))
        cells["epoch"] = f"{row.epoch:.4f}"
        cells["images_per_second"] = f"{row.images_per_second:.1f}"
        cells |= row.validations
        if further := [name for name in cells if name not in self._columns]:
            self._file.close()
            self._begin((*self._columns, *further), _rows_until(self._path, row.step - 1))
        try:
            self._writer.writerow(cells)
            self._file.flush()
        except OSError as error:
            said = "the disk is full" if is_disk_full(error) else error.strerror or error
            raise OutputError(
                f"{self._path}: cannot be written ({said})",
                hint="mend that, then go on with --resume",
            ) from error
        if self._board is not None:
            for name in COLUMNS[2:]:
                self._board.add_scalar(name, getattr(row, name), row.step)
            for name, value in row.validations.items():
                self._board.add_scalar(f"validation/{name}", value, row.step)

    def _begin(self, columns: Sequence[str], rows: list[dict[str, str]]) -> None:
        """Write the file anew, with the rows so far, and go on at its end."""
        self._columns = tuple(columns)
        with atomic_output(self._path, force=True) as draft, draft.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        self._file: IO[str] = self._path.open("a", newline="")
        self._writer = csv.DictWriter(self._file, self._columns, restval="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            os.fsync(self._file.fileno())
        self._file.close()
        if self._board is not None:
            self._board.close()


def _rows_until(path: Path, step: int) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return [row for row in rows if int(row["step"]) <= step]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            str(path),
            "has a row without a step; expected the log of damcli train",
            hint="move the file away: the run goes on without it",
        ) from error


def require_tensorboard() -> Any:
    """Import the writer of TensorBoard's files.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtra("--tensorboard", "tensorboard") from error
    return SummaryWriter


def _open_board(folder: Path, step: int) -> Any:
    return require_tensorboard()(str(folder), purge_step=step + 1 if step else None)
