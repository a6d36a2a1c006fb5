"""Cells that a spreadsheet would take for formulas, made plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def escaped_text(text: str) -> str:
    """Put a ``'`` before what begins like a formula, or with a ``'`` itself.

    So no two texts become one, and taking a ``'`` off the start gives the text back.
    """
    return f"'{text}" if text.startswith(_STARTS) else text


def escaped(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Escape the names of columns and the columns of text, NumPy's or Arrow's; numbers stay."""
    return {escaped_text(name): _escaped_column(column) for name, column in columns.items()}


def _escaped_column(column: Any) -> Any:
    import pyarrow as pa

    cells = pa.array(column) if isinstance(column, np.ndarray) else column
    if not pa.types.is_string(cells.type):
        return column
    return pa.array([escaped_text(cell) for cell in cells.to_pylist()], pa.string())
