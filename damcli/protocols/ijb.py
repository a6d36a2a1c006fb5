"""IJB-B and IJB-C: millions of pairs of templates, ``t1 t2 label``, read as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.arrow_csv import batches_of
from damcli.protocols.official import CUT_SHORT, IdKind, require_count
from damcli.protocols.pairs import Coded, PairChunk
from damcli.storage.inputs import require_file
from damcli.storage.signatures import require_text_file, require_utf8_file

IJBB_PAIRS = 8_010_270
IJBC_PAIRS = 15_658_489
_COLUMNS = ("t1", "t2", "label")
_EXPECTED = "expected rows 't1 t2 label' of whole numbers, one space between them"


class IjbPairs:
    """``ijbb_template_pair_label.txt`` or IJB-C's; see `OfficialPairs`.

    Ids are the templates' numbers. About 20 MB of the file are in memory at a time.

    Parameters
    ----------
    path
        The list.
    pairs
        How many it holds.
    """

    labelled = True
    has_folds = False
    group_names: tuple[str, ...] = ()
    unit = "templates"
    id_kind: IdKind = "numbers"

    def __init__(self, path: Path, pairs: int) -> None:
        self.origin = str(path)
        self.files = (path,)
        self._path = path
        self._count = pairs

    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs in order.

        Raises
        ------
        InputError
            A row does not hold three numbers, a label is neither 1 nor 0, or pairs are
            lacking.
        """
        read = 0
        for batch in self._batches():
            probes, references, labels = (column.to_numpy() for column in batch.columns)
            wrong = np.flatnonzero((labels != 0) & (labels != 1))
            if len(wrong):
                raise InputError(
                    self.origin,
                    f"label {labels[wrong[0]]}; expected 1 or 0",
                    row=read + int(wrong[0]) + 1,
                )
            yield PairChunk(
                lines=range(read + 1, read + len(labels) + 1),
                probes=_coded(probes),
                references=_coded(references),
                labels=labels.astype(np.int8),
                folds=None,
                groups={},
            )
            read += len(labels)
        require_count(self.origin, read, self._count, "pairs", "as the protocol has")

    def _batches(self) -> Iterator[Any]:
        import pyarrow as pa

        def note(row: Any) -> str:
            uneven.append(row)
            return "error"

        uneven: list[Any] = []
        require_file(self._path, _EXPECTED.removeprefix("expected "))
        require_text_file(self._path, _EXPECTED.removeprefix("expected "))
        try:
            kinds = dict.fromkeys(_COLUMNS, pa.int64())
            yield from batches_of(str(self._path), kinds, delimiter=" ", refuse=note)
        except (pa.ArrowException, OSError) as error:
            require_utf8_file(self._path)
            if uneven:
                found, row = f"'{uneven[0].text[:60]}'", uneven[0].number
            else:
                found, row = _conversion(str(error))
            raise InputError(
                self.origin, f"{found}; {_EXPECTED}", row=row, hint=CUT_SHORT
            ) from error


def _conversion(said: str) -> tuple[str, int | None]:
    """Take the row and the cell out of what Arrow says."""
    match = re.search(r"Row #(\d+):.*invalid value '(.*)'", said)
    return (f"'{match[2][:60]}'", int(match[1])) if match else (f"cannot be read ({said})", None)


def _coded(numbers: NDArray[np.int64]) -> Coded:
    values, codes = np.unique(numbers, return_inverse=True)
    names = np.empty(len(values), dtype=object)
    names[:] = [str(value) for value in values.tolist()]
    return Coded(codes.astype(np.int64), names)
