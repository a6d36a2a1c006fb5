"""What training changes: the network, the class centres, the optimiser and the loss scale."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from damcli.embedding.ranks import Ranks
from damcli.errors import UserError
from damcli.models.backbones import PREPROCESSING, build_backbone
from damcli.models.trained import Trained, pack
from damcli.training.collectives import undo_averaging
from damcli.training.criterion import build_criterion
from damcli.training.options import TrainOptions

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MOMENTUM = "momentum_buffer"


class Learner:
    """A network and its class centres, with all that an update needs.

    Parameters
    ----------
    options
        The run.
    classes
        C.
    device
        ``cpu`` or ``cuda``.
    ranks
        The processes; each holds the whole network and a block of the centres.

    Attributes
    ----------
    backbone
        The plain network.
    criterion
        See `damcli.training.criterion`.
    optimizer, scaler
        Of both.
    """

    def __init__(self, options: TrainOptions, classes: int, device: str, ranks: Ranks) -> None:
        self._options, self._device, self._ranks = options, device, ranks
        torch.manual_seed(options.seed)
        backbone = build_backbone(options.backbone, dim=options.dim, dropout=options.dropout)
        # Channels last is what convolutions are fastest with, on a CPU as on a GPU.
        self.backbone = backbone.to(device, memory_format=torch.channels_last)
        self.criterion = build_criterion(
            options.head,
            classes=classes,
            dim=options.dim,
            scale=options.scale,
            margin=options.margin,
            seed=options.seed,
            sample=options.sample,
        ).to(device)
        # The centres stay outside: every process has its own.
        self._shared = DistributedDataParallel(self.backbone) if ranks.size > 1 else self.backbone
        self._forward: Callable[[Tensor], Tensor] = (
            torch.compile(self._shared) if options.compile else self._shared
        )
        self.optimizer = torch.optim.SGD(
            [*self.backbone.parameters(), *self.criterion.parameters()],
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
        self.scaler = _scaler(device, options.precision == "fp16", ranks)

    def embeddings(self, images: Tensor) -> Tensor:
        """Return (b, D) for (b, 3, 112, 112), in the precision of the run."""
        images = images.to(self._device, non_blocking=True, memory_format=torch.channels_last)
        half = self._options.precision != "fp32"
        with torch.autocast(self._device, _TYPES[self._options.precision], enabled=half):
            return undo_averaging(self._outputs(images), self._ranks.size)

    def _outputs(self, images: Tensor) -> Tensor:
        if not self._options.compile:
            return self._forward(images)
        from torch._dynamo.exc import TorchDynamoException  # not where nothing is compiled: slow

        try:
            return self._forward(images)
        except TorchDynamoException as error:
            said = " ".join(str(error).partition("\n\n")[0].split())
            raise UserError(
                f"--compile: torch.compile cannot do it here ({said})",
                hint="install a C++ compiler, or go on with --resume --no-compile",
            ) from error

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss over the micro-batches of all processes, in float32."""
        labels = labels.to(self._device, non_blocking=True)
        loss: Tensor = self.criterion(embeddings, labels)
        return loss

    def gathering(self, last: bool) -> AbstractContextManager[None]:
        """Add gradients up without exchanging them, until the last part of a batch."""
        if last or self._ranks.size == 1:
            return nullcontext()
        alone: AbstractContextManager[None] = self._shared.no_sync()
        return alone

    def update(self, lr: float) -> None:
        """Clip the gradients, if that is wanted, and follow them."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.scaler.unscale_(self.optimizer)
        if self._options.clip:
            self._clip()
        self.scaler.step(self.optimizer)  # not where a gradient overflowed in fp16
        self.scaler.update()
        self.optimizer.zero_grad()

    def embed(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (B, D) float32 for (B, 3, 112, 112), as the exported model would."""
        self.backbone.eval()
        with torch.no_grad():
            found = self.backbone(torch.from_numpy(pixels).to(self._device))
        self.backbone.train()
        vectors: NDArray[np.float32] = found.float().cpu().numpy()
        return vectors

    def is_finite(self) -> bool:
        """Whether all weights are numbers."""
        tensors = [*self.backbone.state_dict().values(), *self.criterion.parameters()]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def state(self, step: int) -> dict[str, Any]:
        """Return what is the same in all processes, to be saved."""
        weights = {
            name: value.detach().cpu().contiguous()
            for name, value in self.backbone.state_dict().items()
        }
        options = self._options
        trained = Trained(
            options.backbone, options.dim, options.dropout, PREPROCESSING, step, weights
        )
        moments = {
            name: {_MOMENTUM: self._moment(parameter).cpu().contiguous()}
            for name, parameter in self.backbone.named_parameters()
        }
        group = {name: self.optimizer.defaults[name] for name in ("momentum", "weight_decay")}
        return {
            **pack(trained),
            "optimizer": {"state": moments, "param_groups": [group]},
            "criterion": {name: value.cpu() for name, value in self._criterion_buffers().items()},
            "scaler": self.scaler.state_dict(),
        }

    def centres(self) -> dict[str, Tensor]:
        """Return this process's class centres and their momentum, to be saved."""
        return {
            key: value.detach().cpu()
            for name, parameter in self.criterion.named_parameters()
            for key, value in ((name, parameter), (f"{name}.momentum", self._moment(parameter)))
        }

    def load(self, state: dict[str, Any], centres: dict[str, Tensor]) -> None:
        """Take over what `state` gave, and the centres of all processes, joined."""
        self.backbone.load_state_dict(state["weights"])
        for name, parameter in self.backbone.named_parameters():
            self._set_moment(parameter, state["optimizer"]["state"][name][_MOMENTUM])
        for name, value in self._criterion_buffers().items():
            value.copy_(state["criterion"][name])
        for name, parameter in self.criterion.named_parameters():
            block = slice(self.criterion.block.start, self.criterion.block.stop)
            with torch.no_grad():
                parameter.copy_(centres[name][block])
            self._set_moment(parameter, centres[f"{name}.momentum"][block])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])

    def _criterion_buffers(self) -> dict[str, Tensor]:
        return dict(self.criterion.named_buffers())

    def _moment(self, parameter: Tensor) -> Tensor:
        moment: Tensor | None = self.optimizer.state[parameter].get(_MOMENTUM)
        return torch.zeros_like(parameter) if moment is None else moment

    def _set_moment(self, parameter: Tensor, value: Tensor) -> None:
        self.optimizer.state[parameter][_MOMENTUM] = torch.empty_like(parameter).copy_(value)

    def _clip(self) -> None:
        shared = _norm(self.backbone)
        mine = _norm(self.criterion).square().to(self._device)
        if self._ranks.size > 1:
            torch.distributed.all_reduce(mine)
        parameters = [*self.backbone.parameters(), *self.criterion.parameters()]
        total = (shared.square() + mine).sqrt()
        torch.nn.utils.clip_grads_with_norm_(parameters, self._options.clip, total)


def seed_draws(seed: int, step: int, part: int) -> None:
    """Seed what the network draws, such as dropout, for one part of one step.

    So a run needs no state of a generator to be resumed, and what a part draws does not
    depend on the process that takes it.
    """
    words = np.random.SeedSequence((seed, step, part)).generate_state(1, np.uint64)
    torch.manual_seed(int(words[0]) >> 1)


def _norm(module: torch.nn.Module) -> Tensor:
    gradients = [value.grad for value in module.parameters() if value.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else torch.tensor(0.0)


def _scaler(device: str, enabled: bool, ranks: Ranks) -> Any:
    if ranks.size == 1:
        return torch.amp.GradScaler(device, enabled=enabled)
    from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

    # An overflow in one block of centres must hold back all processes.
    return ShardedGradScaler(device, enabled=enabled)
