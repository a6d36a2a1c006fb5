"""Cells that a spreadsheet would take for formulas, made plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def escaped_text(text: str) -> str:
    """Put a ``'`` before what begins like a formula, or with a ``'`` itself.

    So no two texts become one, and taking a ``'`` off the start gives the text back.
    """
    return f"'{text}" if text.startswith(_STARTS) else text


def escaped(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Escape the names of columns and the columns of text; numbers stay."""
    return {escaped_text(name): _escaped_column(column) for name, column in columns.items()}


def _escaped_column(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype != object:
        return column
    texts = np.empty(len(column), dtype=object)
    texts[:] = [escaped_text(str(cell)) for cell in column]
    return texts
