"""The LIDR regressor (Eq. 7): a forward pass of two layers, for which numpy will do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.lid.neighbours import Progress
from damcli.storage.embeddings import Embeddings
from damcli.storage.lidr import Lidr
from damcli.threads import in_order, one_blas_thread

# Each a product of its own, in one thread: shared among several, its last bits would vary.
_ROWS = 2048


def predict_log_lid(
    lidr: Lidr, embeddings: Embeddings, *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Predict the log LID of each embedding.

    ``y = W2·relu(W1·f + b1) + b2``; y is log G, or G itself where that was the target.
    The result is kept between the least and the largest value that G can take.

    Parameters
    ----------
    lidr
        The regressor.
    embeddings
        N embeddings of its dimension.
    progress
        Called with the number of embeddings done since the last call.

    Returns
    -------
    ndarray
        (N,) float64, finite.

    Raises
    ------
    InputError
        The dimensions differ.
    """
    if embeddings.dim != lidr.dim:
        raise InputError(
            lidr.origin,
            f"fitted to embeddings of dimension {lidr.dim}; expected {embeddings.dim}, "
            f"the dimension of {embeddings.origin}",
            hint="fit it to embeddings of the same model: damcli fit-lidr",
        )
    return forward(lidr, embeddings.vectors, progress=progress)


def forward(
    lidr: Lidr, vectors: NDArray[np.float32], *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Predict log LIDs from (N, D) unit rows; see `predict_log_lid`."""
    (first, first_bias), (second, second_bias) = (
        (weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in lidr.layers
    )
    least, largest = lidr.log_range
    log_lids = np.empty(len(vectors))

    def predict(start: int) -> int:
        block = vectors[start : start + _ROWS].astype(np.float64)
        hidden = np.maximum(block @ first.T + first_bias, 0)
        found = hidden @ second[0] + second_bias[0]
        if lidr.target == "g":
            found = np.log(np.maximum(found, np.exp(least)))
        log_lids[start : start + len(block)] = np.clip(found, least, largest)
        return len(block)

    with one_blas_thread():
        for done in in_order(predict, range(0, len(vectors), _ROWS)):
            if progress is not None:
                progress(done)
    return log_lids
