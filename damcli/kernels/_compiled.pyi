from typing import Any

from numpy.typing import NDArray

def multiply_pairs(
    probes: NDArray[Any],
    references: NDArray[Any],
    dim: int,
    probe_rows: NDArray[Any],
    reference_rows: NDArray[Any],
    room: NDArray[Any],
    products: NDArray[Any],
    /,
) -> None: ...
def round_rows(
    vectors: NDArray[Any],
    dim: int,
    scales: NDArray[Any],
    steps: NDArray[Any],
    residuals: NDArray[Any],
    norms: NDArray[Any],
    /,
) -> None: ...
def find_candidates(
    products: NDArray[Any],
    anchors: NDArray[Any],
    wanted: NDArray[Any],
    unit: NDArray[Any],
    error: NDArray[Any],
    bounds: NDArray[Any],
    found: NDArray[Any],
    used: int,
    /,
) -> int: ...
def rank_candidates(
    queries: NDArray[Any],
    anchors: NDArray[Any],
    dim: int,
    found: NDArray[Any],
    floors: NDArray[Any],
    k: int,
    similarities: NDArray[Any],
    rows: NDArray[Any],
    /,
) -> None: ...
