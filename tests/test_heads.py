from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damcli.errors import UserError
from damcli.training.criterion import MarginSoftmax, build_criterion
from damcli.training.heads import DEFAULTS, HEADS, build_head, numbers_of
from damcli.training.heads.arcface import add_angle
from tests import losses

MARGINS = {"normface": 0.0, "cosface": 0.35, "arcface": 0.5, "curricularface": 0.5}


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """9 embeddings of 7 classes in 5 dimensions; two are nearly opposite their class."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(7, 5, generator=rng, dtype=torch.float64)
    embeddings = 3 * torch.randn(9, 5, generator=rng, dtype=torch.float64)
    labels = torch.randint(7, (9,), generator=rng)
    noise = torch.randn(2, 5, generator=rng, dtype=torch.float64)
    embeddings[:2] = 0.1 * noise - centres[labels[:2]]
    return embeddings, centres, labels


def criterion_with(head: str, centres: Tensor, **options: Any) -> MarginSoftmax:
    made = build_criterion(head, classes=len(centres), dim=centres.shape[1], seed=0, **options)
    assert isinstance(made, MarginSoftmax)
    made.to(centres.dtype)
    with torch.no_grad():
        made.centres.copy_(centres)
    return made


def gradients(loss: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return a loss, and its gradients with respect to its inputs."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return (value.detach(), *torch.autograd.grad(value, leaves))


def gradients_of(criterion: MarginSoftmax, embeddings: Tensor, labels: Tensor) -> Any:
    """Return the loss, and its gradients with respect to the embeddings and the centres."""
    embeddings = embeddings.clone().requires_grad_()
    loss = criterion(embeddings, labels)
    return (loss.detach(), *torch.autograd.grad(loss, (embeddings, criterion.centres)))


@pytest.mark.parametrize("head", MARGINS)
@pytest.mark.parametrize("scale", [None, 8.0])
def test_a_head_is_what_its_paper_says(head: str, scale: float | None) -> None:
    embeddings, centres, labels = batch()
    criterion, t = criterion_with(head, centres, scale=scale), 0.0
    cosine = torch.cosine_similarity(embeddings[:, None], centres[None], dim=2)
    own = cosine[torch.arange(9), labels]
    assert 0 < (own < math.cos(math.pi - 0.5)).sum() < 9  # on both sides of θ + m = π
    for _ in range(3):
        t = 0.99 * t + 0.01 * float(own.mean())
        slow = gradients(
            lambda x, w, t=t: losses.softmax_loss(
                head, x, w, labels, s=scale or 64.0, m=MARGINS[head], t=t
            ),
            embeddings,
            centres,
        )
        for found, expected in zip(gradients_of(criterion, embeddings, labels), slow, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("head", "name", "options"),
    [
        ("normface", "NormalizedSoftmaxLoss", {"temperature": 1 / 64}),
        ("cosface", "CosFaceLoss", {"margin": 0.35, "scale": 64}),
        ("arcface", "ArcFaceLoss", {"margin": math.degrees(0.5), "scale": 64}),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_head_agrees_with_a_known_library(
    head: str, name: str, options: dict[str, float], dtype: torch.dtype
) -> None:
    known_losses = pytest.importorskip("pytorch_metric_learning.losses")
    for seed in range(5):
        embeddings, centres, labels = batch(seed)
        embeddings, centres = embeddings.to(dtype), centres.to(dtype)
        known = getattr(known_losses, name)(num_classes=7, embedding_size=5, **options)
        known.W.data = centres.T.clone()
        x = embeddings.clone().requires_grad_()
        loss = known(x, labels)
        dx, dw = torch.autograd.grad(loss, (x, known.W))
        found = gradients_of(criterion_with(head, centres), embeddings, labels)
        for mine, theirs in zip(found, (loss.detach(), dx, dw.T), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", MARGINS)
def test_gradients_are_those_of_finite_differences(head: str) -> None:
    embeddings, centres, labels = batch(3)
    criterion = criterion_with(head, centres, scale=8.0).eval()  # t stays

    def loss(x: Tensor, w: Tensor) -> Tensor:
        return torch.func.functional_call(criterion, {"centres": w}, (x, labels))

    assert torch.autograd.gradcheck(loss, (embeddings.requires_grad_(), centres.requires_grad_()))


@given(st.floats(0, math.pi / 2), st.sampled_from([torch.float32, torch.float64]))
def test_a_margin_never_rewards_a_larger_angle(margin: float, dtype: torch.dtype) -> None:
    cosine = torch.linspace(0, math.pi, 2000, dtype=torch.float64).cos().to(dtype)
    turned = add_angle(cosine.requires_grad_(), margin)
    rounding = 4 * torch.finfo(dtype).eps
    assert (turned.diff() <= rounding).all()
    assert (turned <= cosine + rounding).all()
    (slope,) = torch.autograd.grad(turned.sum(), cosine)
    assert slope.isfinite().all()
    assert (slope >= 0).all()


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.5])
def test_a_margin_is_an_angle_up_to_a_half_turn_and_then_a_line(margin: float) -> None:
    for angle in (0.3, 1.5, math.pi - margin - 1e-6):
        found = add_angle(torch.tensor(math.cos(angle), dtype=torch.float64), margin)
        assert found.item() == pytest.approx(math.cos(angle + margin), abs=1e-9)
    for angle in (math.pi - margin + 1e-6, math.pi):
        found = add_angle(torch.tensor(math.cos(angle), dtype=torch.float64), margin)
        assert found.item() == pytest.approx(math.cos(angle) - margin * math.sin(margin))
        assert found.item() <= -1


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite_where_it_is_hardest(head: str, dtype: torch.dtype) -> None:
    criterion = build_criterion(head, classes=3, dim=4, seed=0)
    first = torch.tensor([1.0, 0.0, 0.0, 0.0])
    if isinstance(criterion, MarginSoftmax):
        with torch.no_grad():
            criterion.centres.copy_(torch.stack([first, -first, first.roll(1)]))
    # in the centre, opposite to it, far beyond what float16 can square, and almost nothing
    rows = torch.stack([first, first, -first, 6e4 * first, 1e-7 * first, torch.full((4,), 3e4)])
    embeddings = rows.to(dtype).requires_grad_()
    labels = torch.tensor([0, 1, 0, 0, 1, 2])
    with torch.autocast("cpu", dtype=dtype):
        loss = criterion(embeddings, labels)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    loss.backward()
    assert embeddings.grad is not None
    for parameter in (embeddings, *criterion.parameters()):
        assert parameter.grad.isfinite().all()


def test_autocast_changes_no_bit_of_a_loss() -> None:
    embeddings, centres, labels = batch()
    criterion = criterion_with("arcface", centres.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = criterion(embeddings.float(), labels)
    assert torch.equal(inside, criterion(embeddings.float(), labels))


def test_the_moving_average_of_curricularface_is_of_training_and_is_kept() -> None:
    embeddings, centres, labels = batch()
    criterion = criterion_with("curricularface", centres)
    own = torch.cosine_similarity(embeddings, centres[labels])
    for _ in range(2):
        criterion(embeddings, labels)
    expected = 0.99 * 0.01 * own.mean() + 0.01 * own.mean()
    assert criterion.head.t.item() == pytest.approx(expected.item())
    criterion.eval()(embeddings, labels)
    assert criterion.head.t.item() == pytest.approx(expected.item())
    resumed = criterion_with("curricularface", torch.zeros_like(centres))
    resumed.load_state_dict(criterion.state_dict())
    again = resumed(embeddings, labels)
    assert torch.equal(again, criterion.train()(embeddings, labels))


@pytest.mark.parametrize("name", HEADS)
def test_the_numbers_of_a_head_are_those_of_its_paper(name: str) -> None:
    assert numbers_of(name) == DEFAULTS[name]
    if name != "triplet":
        head = build_head(name)
        assert (head.scale, getattr(head, "margin", None)) == DEFAULTS[name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("sphereface",), "no head 'sphereface'; expected one of normface, cosface, arcface"),
        (("normface", None, 0.5), "margin is 0.5, and normface has none"),
        (("triplet", 64.0), "scale is 64, and triplet has none"),
        (("arcface", 0.0), "scale is 0; expected a number larger than 0"),
        (("arcface", math.nan), "scale is nan; expected a number larger than 0"),
        (("arcface", None, 28.6), "margin is 28.6; expected from 0 to 1.571 for arcface"),
        (("curricularface", None, -0.1), "margin is -0.1; expected from 0 to 1.571"),
        (("cosface", None, 2.5), "margin is 2.5; expected from 0 to 2 for cosface"),
        (("triplet", None, 0.0), "margin is 0; expected above 0 and at most 4 for triplet"),
        (("triplet", None, math.nan), "margin is nan; expected above 0 and at most 4"),
    ],
)
def test_numbers_that_no_head_has_are_refused(options: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        numbers_of(*options)
    assert message in str(raised.value)
