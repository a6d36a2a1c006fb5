"""Triplets with semi-hard negatives (FaceNet, Schroff et al., CVPR 2015, arXiv 1503.03832)."""

from __future__ import annotations

import torch
from torch import Tensor

from damcli.errors import UserError


def semi_hard(distances: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Choose a negative for every anchor and positive: the closest of the semi-hard ones.

    Semi-hard is (Sec. 3.2 of the paper, Eq. 4) what lies further from the anchor than the
    positive, but by less than the margin. A pair that has no such negative makes no triplet.

    Parameters
    ----------
    distances
        (B, B) float.
    labels
        (B,) int64, the classes.
    margin
        In the unit of `distances`.

    Returns
    -------
    tuple of Tensor
        Rows of anchors, positives and negatives, each (T,) int64; (a, p) and (p, a) both count.

    Raises
    ------
    UserError
        No two rows are of one class, or all are.
    """
    same = labels[:, None] == labels  # (B, B)
    others = same ^ torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if not others.any() or same.all():
        found = "all of one class" if same.all() else "no two of one class"
        raise UserError(
            f"the {len(labels)} images of a batch are {found}; triplets need both",
            hint="give every batch several images of each of several classes",
        )
    # Sorted by distance, the negative just beyond a positive is where that would be inserted.
    ascending, order = distances.masked_fill(same, torch.inf).sort(dim=1)  # (B, B) each
    place = torch.searchsorted(ascending, distances.contiguous(), right=True)
    place = place.clamp(max=len(labels) - 1)
    closest = ascending.gather(1, place)
    semihard = others & (closest > distances) & (closest < distances + margin)
    anchors, positives = semihard.nonzero(as_tuple=True)  # (T,) each
    return anchors, positives, order.gather(1, place)[anchors, positives]


def triplet_loss(unit: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return the mean over the triplets of ``‖a − p‖² − ‖a − n‖² + m`` (Eq. 3 of the paper).

    Every triplet of `semi_hard` lies inside the margin, so that none is cut off at 0. The paper
    sums; the mean keeps the size of a step apart from how many triplets there are.

    Parameters
    ----------
    unit
        (B, D) float, rows of length 1.
    labels
        (B,) int64, the classes.
    margin
        m, a squared distance, larger than 0.

    Returns
    -------
    Tensor
        Scalar; 0, without any gradient, where there is no triplet.

    Raises
    ------
    UserError
        See `semi_hard`.
    """
    distances = (2 - 2 * unit @ unit.T).clamp(min=0)  # (B, D) -> (B, B)
    with torch.no_grad():
        anchors, positives, negatives = semi_hard(distances, labels, margin)
    excess = distances[anchors, positives] - distances[anchors, negatives] + margin  # (T,)
    return excess.sum() / max(len(anchors), 1)
