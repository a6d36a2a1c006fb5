"""``damcli fit-lidr``: the regressor that gives LIDs without anchors."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import Messages, command_line, usage_error

if TYPE_CHECKING:
    from damcli.lid.recipes import Recipe
    from damcli.lid.training import Check
    from damcli.storage.lidr import Lidr


class RecipeName(StrEnum):
    """How the regressor is fitted."""

    TUNED = "tuned"
    PAPER = "paper"


class Learnt(StrEnum):
    """What the regressor learns."""

    G = "g"
    LOG_G = "log-g"
    STD_G = "std-g"
    STD_LOG_G = "std-log-g"


class Device(StrEnum):
    """Where it is fitted."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def fit_lidr(
    source: Annotated[
        Path, typer.Argument(help="Embeddings of training people.", show_default=False)
    ],
    *,
    anchors: Annotated[
        Path, typer.Option("--anchors", "-a", help="Anchors whose LIDs are learnt.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Regressor to write, .h5.")],
    k: Annotated[int, typer.Option("-k", min=1, help="Anchors in the LID.")] = 10,
    s: Annotated[float, typer.Option("-s", help="Scale of Eq. 3, above 0.")] = 1.0,
    recipe: Annotated[
        RecipeName,
        typer.Option(help="tuned: AdamW, stops by held-out people. paper: SGD to the end."),
    ] = RecipeName.TUNED,
    target: Annotated[
        Learnt | None,
        typer.Option(
            help="What is learnt by squared error; std-: of mean 0 and deviation 1.",
            show_default="the recipe's: std-log-g, paper: g",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1, help="At most; the rate falls at 1/2, 2/3, 5/6 of them.", show_default="30000"
        ),
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(min=1, help="Width of the hidden layer.", show_default="512")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate, above 0.", show_default="0.001")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows a step.", show_default="512")
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of the subjects not learnt from, between 0 and 1.")
    ] = 0.1,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the people held out, the weights and the batches.")
    ] = 0,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    max_memory: Annotated[
        float, typer.Option(help="GiB of vectors in memory; more lie in a temporary file.")
    ] = 4.0,
    max_anchor_similarity: Annotated[
        str,
        typer.Option(
            metavar="auto|none|C",
            help="A few anchors above this cosine to a row count as the same person, skipped; "
            "auto sets a limit only where subjects are not known.",
        ),
    ] = "auto",
    allow_mixed_models: Annotated[
        bool, typer.Option("--allow-mixed-models", help="The files may be of different models.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    r"""Fit the regressor that gives LIDs without anchors, for `damcli score --lidr`.

    Held-out people show how near it comes to the anchors. Needs PyTorch (extra \[torch]).

    Example: damcli fit-lidr training.h5 --anchors anchors.h5 -o lidr.h5
    """
    for option, value, most in (
        ("-s", s, None),
        ("--lr", lr, None),
        ("--holdout", holdout, 1),
    ):
        if value is not None and not 0 < value < (most or float("inf")):
            wanted = "a number above 0" if most is None else "a number between 0 and 1"
            raise usage_error(f"{option} {value:g}: expected {wanted}")
    if not max_memory >= 0:
        raise usage_error(f"--max-memory {max_memory:g}: expected 0 or more")
    changes = {
        "learnt": None if target is None else target.value,
        "iterations": iterations,
        "hidden": hidden,
        "lr": lr,
        "batch_size": batch_size,
    }
    from damcli.cli.fit_lidr_report import report
    from damcli.lid.fit_lidr import Diverged
    from damcli.lid.training import require_torch
    from damcli.storage.atomic import check_writable
    from damcli.storage.files import open_embeddings, read_anchors
    from damcli.storage.hdf5 import check_own_suffix
    from damcli.storage.lidr import write_lidr

    check_own_suffix(output)
    check_writable(output, force=force)
    require_torch("fit-lidr")
    messages = Messages(quiet=quiet)
    embeddings, anchor_set = open_embeddings(source), read_anchors(anchors)
    options = {
        "k": k,
        "s": s,
        "holdout": holdout,
        "seed": seed,
        "device": device.value,
        "max_bytes": int(max_memory * (1 << 30)),
        "max_anchor_similarity": _limit(max_anchor_similarity),
        "allow_mixed_models": allow_mixed_models,
    }
    try:
        lidr = _fit(embeddings, anchor_set, _recipe(recipe, changes), options, messages)
    except Diverged as fault:
        if fault.lidr is not None:
            write_lidr(output, fault.lidr, force=force, command=command_line())
            messages.warn(f"wrote the weights of before the loss broke down to {output}")
        raise
    write_lidr(output, lidr, force=force, command=command_line())
    messages.say(f"wrote {output}")
    report(lidr, embeddings, anchor_set, output, messages, as_json=as_json)


def _limit(text: str) -> float | str | None:
    if text == "none":
        return None
    try:
        limit = float("nan") if text == "auto" else float(text)
    except ValueError:
        limit = 0
    if limit <= 0 or limit >= 1:
        raise usage_error(
            f"--max-anchor-similarity {text}: expected auto, none or a number between 0 and 1"
        )
    return "auto" if text == "auto" else limit


def _recipe(name: RecipeName, changes: dict[str, Any]) -> str | Recipe:
    from damcli.lid.recipes import RECIPES

    given = {option: value for option, value in changes.items() if value is not None}
    return replace(RECIPES[name.value], **given) if given else name.value


def _fit(
    embeddings: Any,
    anchors: Any,
    recipe: str | Recipe,
    options: dict[str, Any],
    messages: Messages,
) -> Lidr:
    from damcli.lid.fit_lidr import fit_lidr as fit

    messages.say(
        f"{len(embeddings):,} embeddings from {embeddings.origin}, "
        f"{len(anchors):,} {anchors.kind} anchors from {anchors.origin}"
    )
    with messages.progress("LID", len(embeddings), "embeddings") as searching:
        return fit(
            embeddings,
            anchors,
            recipe=recipe,
            searching=searching,
            on_check=_Tale(messages).tell,
            **options,
        )


class _Tale:
    """Tells the losses at first often, then every 1,000 iterations."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._checks = 0

    def tell(self, check: Check) -> None:
        self._checks += 1
        if self._checks & (self._checks - 1) and check.iteration % 1000:
            return
        self._messages.say(
            f"iteration {check.iteration:,}: loss {check.loss:.4g}, "
            f"held-out {check.heldout_loss:.4g}"
        )
