"""The losses again, one sample and one class after the other, in float64, with an acos."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def own_logit(head: str, cosine: Tensor, m: float) -> Tensor:
    """The logit of a sample's own class, before it is scaled."""
    if head == "normface":
        return cosine
    if head == "cosface":
        return cosine - m
    angle = torch.acos(cosine)
    return torch.cos(angle + m) if angle + m <= math.pi else cosine - m * math.sin(m)


def softmax_loss(
    head: str,
    embeddings: Tensor,
    centres: Tensor,
    labels: Tensor,
    *,
    s: float = 64.0,
    m: float = 0.0,
    t: float = 0.0,
) -> Tensor:
    losses = []
    for x, y in zip(embeddings, labels.tolist(), strict=True):
        cosines = [x @ w / x.norm() / w.norm() for w in centres]
        own = own_logit(head, cosines[y], m)
        logits = []
        for j, cosine in enumerate(cosines):
            if j == y:
                logits.append(own)
            elif head == "curricularface" and cosine > own:
                logits.append(cosine * (t + cosine))
            else:
                logits.append(cosine)
        total = torch.stack([torch.exp(s * z) for z in logits]).sum()
        losses.append(torch.log(total) - s * own)
    return torch.stack(losses).mean()


def semi_hard_triplets(
    embeddings: Tensor, labels: Tensor, margin: float
) -> list[tuple[int, int, int]]:
    found = []
    unit = [x / x.norm() for x in embeddings.detach()]
    for a, x in enumerate(unit):
        for p, y in enumerate(unit):
            if a == p or labels[a] != labels[p]:
                continue
            between = ((x - y) ** 2).sum()
            further = [
                (float(((x - z) ** 2).sum()), n)
                for n, z in enumerate(unit)
                if labels[n] != labels[a] and between < ((x - z) ** 2).sum() < between + margin
            ]
            if further:
                found.append((a, p, min(further)[1]))
    return found


def triplet_loss(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    unit = [x / x.norm() for x in embeddings]
    losses = [
        ((unit[a] - unit[p]) ** 2).sum() - ((unit[a] - unit[n]) ** 2).sum() + margin
        for a, p, n in semi_hard_triplets(embeddings, labels, margin)
    ]
    return torch.stack(losses).mean()
