"""The commands by name: what ``damcli --help`` lists, and how each is imported when it is run."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_PANELS = {
    "Pipeline": {
        "embed": "Embed images with any ONNX or PyTorch model; what cannot be read is counted "
        "and named.",
        "build-anchors": "Choose the anchors: embeddings that stand for other people than "
        "those you will score.",
        "fit-lidr": "Fit the regressor that gives LIDs without anchors, for `damcli score --lidr`.",
        "calibrate": "Fit a log-likelihood ratio on development pairs, and tell what to expect "
        "of it.",
        "score": "Score pairs by cosine and DAM; with labels, print TAR@FAR, EER and accuracy "
        "of both.",
    },
    "Evaluation": {
        "evaluate": "Print TAR@FAR, EER, AUC and accuracy of labelled scores, whoever made them.",
        "compare": "Hold DAM, CSLS, Z/T/S/AS-norm and negative embedding subtraction (NES) "
        "against cosine.",
        "sweep": "Show how DAM's rates move with k, s and the number of anchors; choose on "
        "--dev alone.",
        "report": "Make one HTML page: does DAM help, by how much, and what to be careful about.",
        "identify": "Search a gallery for the people that probes show, by cosine and DAM side "
        "by side.",
    },
    "Data": {
        "pairs": "Write probe_id,reference_id,label rows, labelled by the subjects or by a "
        "protocol.",
        "pool": "Pool embeddings of images to templates: mean per medium, sum over media, L2.",
        "convert": "Convert embeddings between layouts; rows come out with unit length.",
        "info": "Show what a file holds, how it was made, and what is wrong with its rows.",
    },
    "Models": {
        "train": "Train a face recogniser for `damcli embed`, with verification as it goes.",
        "export": "Write what was learnt as ONNX, checked before it appears.",
    },
    "Start here": {
        "demo": "Run the real pipeline on real faces, offline: anchors, LIDs, scores, the table.",
    },
}
STYLE: dict[str, Any] = {"rich_markup_mode": "rich", "pretty_exceptions_enable": False}
HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


def load(name: str) -> Any:
    """Import a command and build it, with its options."""
    function = name.replace("-", "_")
    alone = typer.Typer(add_completion=False, context_settings=HELP, **STYLE)
    module = importlib.import_module(f"damcli.cli.{function}")
    alone.command(name, cls=_Command)(getattr(module, function))
    return typer.main.get_command(alone)


class _Command(TyperCommand):
    """A command that says of a wrong option what was expected, and not which check found it."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Read the options."""
        try:
            return super().make_context(*args, **more)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


class Commands(TyperGroup):
    """All commands, of which only the one that is run is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Build the command that the arguments begin with."""
        if args and args[0] in self.commands:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)


def offer_all(app: typer.Typer) -> None:
    """List every command with its summary, in panels."""
    for panel, commands in _PANELS.items():
        for name, summary in commands.items():
            app.command(name, help=summary, rich_help_panel=panel)(_not_yet_loaded)


def _not_yet_loaded() -> None:
    raise AssertionError("a command is loaded before it is run")
