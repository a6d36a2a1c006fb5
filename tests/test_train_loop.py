"""The loop: what a resumed run repeats, what is kept, and how a run ends before its end."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from damcli.errors import InputError, UserError
from damcli.models.backbones import PREPROCESSING
from damcli.training.checkpoint import checkpoint_path, load_state, steps_of
from damcli.training.loop import Diverged, Stopped
from damcli.training.schedule import learning_rate
from damcli.training.validation import Validated, Validation, open_validation
from tests.training import Run, Told, options, people, same, small, state_of, untimed

__all__ = ["small"]
pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Validation:
    folder = people(tmp_path_factory.mktemp("heldout"), prefix="other")
    return open_validation(str(folder), preprocessing=PREPROCESSING)


HEADS = [
    *({"head": "arcface"}, {"head": "curricularface"}, {"head": "arcface", "sample": 0.5}),
    *({"head": "triplet", "scale": None, "per_class": 2}, {"accumulate": 2, "clip": 0.5}),
    *({"precision": "bf16"}, {"precision": "fp16"}),
]


CASES = [({"head": "arcface"}, 3), ({"head": "arcface"}, 4), *((changes, 7) for changes in HEADS)]


@pytest.mark.parametrize(("changes", "stop_at"), CASES, ids=str)
def test_a_resumed_run_is_the_run_never_interrupted(
    tmp_path: Path, data: Path, changes: dict[str, Any], stop_at: int
) -> None:
    chosen = options(**changes)
    whole = Run(tmp_path / "whole", data, chosen, validations=(Told(0.5, 0.6),)).go()
    first, second = (0.5,) if stop_at >= 4 else (), (0.6,) if stop_at >= 4 else (0.5, 0.6)
    begun = Run(tmp_path / "run", data, chosen, validations=(Told(*first),), stop_at=stop_at)
    with pytest.raises(Stopped):
        begun.go()
    rest = Run(tmp_path / "run", data, chosen, validations=(Told(*second),)).go()
    assert begun.losses + rest.losses == whole.losses
    assert same(state_of(tmp_path / "run"), state_of(tmp_path / "whole"))
    assert untimed(tmp_path / "run/log.csv") == untimed(tmp_path / "whole/log.csv")
    files = [
        sorted(path.name for path in (folder / "checkpoints").iterdir())
        for folder in (tmp_path / "run", tmp_path / "whole")
    ]
    assert files[0] == files[1]


def test_steps_after_the_newest_checkpoint_are_done_again(tmp_path: Path, data: Path) -> None:
    Run(tmp_path / "whole", data, options()).go()
    run = Run(tmp_path / "run", data, options())
    run.learner.update = _failing(run.learner.update, at=6)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.go()
    assert steps_of(tmp_path / "run/checkpoints") == [3]
    assert [row.split(",")[0] for row in untimed(tmp_path / "run/log.csv")] == ["step", "2", "4"]
    Run(tmp_path / "run", data, options()).go()
    assert same(state_of(tmp_path / "run"), state_of(tmp_path / "whole"))
    assert untimed(tmp_path / "run/log.csv") == untimed(tmp_path / "whole/log.csv")


def _failing(update: Any, at: int) -> Any:
    calls = iter(range(1, 100))

    def fail(lr: float) -> None:
        if next(calls) == at:
            raise KeyboardInterrupt
        update(lr)

    return fail


def test_workers_do_not_change_a_run(tmp_path: Path, data: Path) -> None:
    runs = [Run(tmp_path / str(n), data, options(steps=3), workers=n).go() for n in (0, 2)]
    assert runs[0].losses == runs[1].losses


def test_the_update_is_that_of_sgd_on_the_mean_loss(tmp_path: Path, data: Path) -> None:
    chosen = options(steps=2, dropout=0.0, momentum=0.8, weight_decay=0.1, warmup=0)
    run = Run(tmp_path / "run", data, chosen)
    network, criterion = run.learner.backbone, run.learner.criterion
    parameters = [*network.parameters(), *criterion.parameters()]
    seen = list[Any]()
    forward = run.learner.embeddings
    run.learner.embeddings = lambda x: (seen.append(x), forward(x))[1]  # type: ignore[method-assign]
    losses, before = [], []
    loss_of = run.learner.loss

    def spy(embeddings: Any, labels: Any) -> Any:
        before.append([p.detach().clone() for p in parameters])
        loss = loss_of(embeddings, labels)
        losses.append(torch.autograd.grad(loss, parameters, retain_graph=True))
        return loss

    run.learner.loss = spy  # type: ignore[method-assign]
    run.go()
    moment = [g + 0.1 * p for g, p in zip(losses[0], before[0], strict=True)]
    expected = [p - 0.05 * m for p, m in zip(before[0], moment, strict=True)]
    for one, other in zip(expected, before[1], strict=True):
        assert torch.allclose(one, other, atol=1e-7)
    moment = [0.8 * m + g + 0.1 * p for m, g, p in zip(moment, losses[1], before[1], strict=True)]
    expected = [p - 0.05 * m for p, m in zip(before[1], moment, strict=True)]
    for one, other in zip(expected, parameters, strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_parts_of_a_batch_give_the_gradient_of_the_whole(tmp_path: Path, data: Path) -> None:
    """Without batch norm's view of its part, two parts are as good as one."""
    whole, parts = (
        Run(tmp_path / str(n), data, options(accumulate=n, dropout=0.0, steps=1)) for n in (1, 2)
    )
    for run in (whole, parts):
        run.learner.backbone.eval()
        run.go()
    assert whole.losses == pytest.approx(parts.losses, rel=1e-6)
    for one, other in zip(
        whole.learner.backbone.parameters(), parts.learner.backbone.parameters(), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)


def test_clipping_bounds_the_norm_over_network_and_centres(tmp_path: Path, data: Path) -> None:
    run = Run(tmp_path / "run", data, options(clip=0.01, steps=1))
    learner, norms = run.learner, list[float]()
    step = learner.optimizer.step

    def spy() -> None:
        parameters = [*learner.backbone.parameters(), *learner.criterion.parameters()]
        gradients = [p.grad.double().ravel() for p in parameters if p.grad is not None]
        norms.append(float(torch.cat(gradients).norm()))
        step()

    learner.optimizer.step = spy
    run.go()
    assert norms == [pytest.approx(0.01, rel=1e-4)]


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path, data: Path) -> None:
    chosen = options(validate_every=2, save_every=3)
    Run(tmp_path, data, chosen, validations=(Told(0.5, 0.9, 0.9, 0.7),)).go()
    assert json.loads((tmp_path / "best.json").read_text()) == {
        "step": 4, "validation": "told", "metric": "accuracy", "value": 0.9,
    }  # fmt: skip
    assert steps_of(tmp_path / "checkpoints") == [4, 8]
    assert load_state(checkpoint_path(tmp_path / "checkpoints", 4))["step"] == 4
    header, *rows = untimed(tmp_path / "log.csv")
    assert header == "step,epoch,loss,lr,told accuracy,told eer"
    assert [row.split(",")[4] for row in rows] == ["0.5", "0.9", "0.9", "0.7"]


@pytest.mark.parametrize("saved", [0, 3])
def test_a_loss_that_is_no_number_ends_the_run_and_spoils_nothing(
    tmp_path: Path, data: Path, saved: int
) -> None:
    run = Run(tmp_path, data, options(precision="bf16"))
    loss_of, calls = run.learner.loss, iter(range(100))

    def fail(embeddings: Any, labels: Any) -> Any:
        loss = loss_of(embeddings, labels)
        return loss * (float("nan") if next(calls) == saved + 1 else 1.0)

    run.learner.loss = fail  # type: ignore[method-assign]
    with pytest.raises(Diverged) as caught:
        run.go()
    assert f"step {saved + 2}: the loss is nan at learning rate 0.05; expected" in str(caught.value)
    hint = str(caught.value.hint)
    assert "--lr" in hint and "--clip" in hint and "--precision fp32" in hint
    assert ("step-00000003 is the last good" if saved else "no checkpoint yet") in hint
    assert run.learner.is_finite()


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path, data: Path) -> None:
    run = Run(tmp_path, data, options(save_every=1, steps=2))
    update = run.learner.update

    def spoil(lr: float) -> None:
        update(lr)
        if run.progress.step == 1:
            next(run.learner.backbone.parameters()).data[0] = float("inf")

    run.learner.update = spoil  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="step 2: the weights are no numbers"):
        run.go()
    assert steps_of(tmp_path / "checkpoints") == [1]


@pytest.mark.parametrize("found", ["weights", "outputs"])
def test_a_validation_that_meets_no_numbers_says_so_as_a_step_does(
    tmp_path: Path, data: Path, heldout: Validation, found: str
) -> None:
    run = Run(
        tmp_path,
        data,
        options(validate_every=1, save_every=1, steps=2),
        validations=(Told(0.5, 0.5) if found == "weights" else heldout,),
    )
    update = run.learner.update

    def spoil(lr: float) -> None:
        update(lr)
        if run.progress.step == 1:  # finite weights whose outputs are not, in the second case
            weights = next(run.learner.backbone.parameters()).data
            weights.fill_(torch.inf if found == "weights" else torch.finfo(weights.dtype).max)

    run.learner.update = spoil  # type: ignore[method-assign]
    with pytest.raises(Diverged, match=r"step 2: the (weights are no|network's output)") as caught:
        run.go()
    assert "step-00000001 is the last good checkpoint" in str(caught.value.hint)


def test_an_image_gone_from_a_validation_is_no_divergence(tmp_path: Path, data: Path) -> None:
    class Gone(Told):
        def run(self, embed: Any) -> Validated:
            raise InputError("a.png", "is gone")

    with pytest.raises(InputError, match="is gone"):
        Run(tmp_path, data, options(), validations=(Gone(),)).go()


def test_broken_images_are_remembered_over_a_resume(tmp_path: Path) -> None:
    broken = people(tmp_path / "people") / "p1" / "2.png"
    broken.write_bytes(b"no image")
    with pytest.raises(Stopped):
        Run(tmp_path / "run", tmp_path / "people", options(), stop_at=4).go()
    run = Run(tmp_path / "run", tmp_path / "people", options(steps=5)).go()
    assert list(run.progress.rejects) == [str(broken)]


def test_a_compiled_run_is_the_run(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(tmp_path / "plain", data, options(steps=3)).go()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    Run(tmp_path / "compiled", data, options(steps=3, compile=True)).go()
    plain, compiled = (state_of(tmp_path / name) for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        if isinstance(value, torch.Tensor):
            assert torch.allclose(value, compiled[name], atol=1e-6), name


def test_what_cannot_be_compiled(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*graph: Any) -> None:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=missing))
    with pytest.raises(UserError, match=r"--compile: .*No working C") as caught:
        Run(tmp_path, data, options(compile=True)).go()
    assert "--no-compile" in str(caught.value.hint)


def test_learning_rates() -> None:
    chosen = options(lr=1.0, warmup=4, milestones=(6, 8), gamma=0.1)
    rates = [learning_rate(chosen, step) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
