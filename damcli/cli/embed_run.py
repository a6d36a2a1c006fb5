"""How ``damcli embed`` opens what it is given, runs, and says what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from damcli.cli.console import STDOUT, Advance, Messages, command_line, print_json, usage_error
from damcli.cli.embed_report import first_names, report, summary
from damcli.errors import Interrupted, counted

if TYPE_CHECKING:
    from damcli.embedding.ranks import Ranks
    from damcli.embedding.run import Progress
    from damcli.models.network import Network
    from damcli.models.preprocessing import Preprocessing
    from damcli.sources.framing import Framing
    from damcli.sources.source import ImageSource


Warn = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """What the options say of the model and its images."""

    path: Path
    device: Any
    threads: int | None
    arch: str | None
    input_name: str | None
    output_name: str | None
    preset: str | None
    size: str | None
    color: str | None
    mean: str | None
    std: str | None
    layout: Any

    def open(self, warn: Warn) -> tuple[Network, Preprocessing]:
        """Load it, and settle how its images are prepared."""
        from damcli.models.opening import open_network
        from damcli.models.preprocessing import parse_size, resolve_preprocessing
        from damcli.models.presets import PRESETS

        size = None if self.size is None else parse_size(self.size)
        if size is None and self.preset is not None and self.preset.lower() in PRESETS:
            size = PRESETS[self.preset.lower()].size
        network = open_network(
            self.path,
            device=self.device,
            threads=self.threads,
            arch=self.arch,
            input_name=self.input_name,
            output_name=self.output_name,
            layout=None if self.layout is None else self.layout.upper(),
            size=size,
        )
        preprocessing = resolve_preprocessing(
            preset=self.preset,
            size=self.size,
            color=self.color,
            mean=self.mean,
            std=self.std,
            layout=self.layout,
            stated=network.input,
            origin=str(self.path),
        )
        if preprocessing.seems_for_0_to_1:
            warn(
                f"{_shown(preprocessing)} look like numbers for pixels from 0 to 1, and here they "
                "go from 0 to 255; if so, give both times 255"
            )
        return network, preprocessing

    def about(self) -> dict[str, str]:
        """Return what was chosen of the model, to record and to compare."""
        chosen = {
            "model_arch": self.arch,
            "model_input": self.input_name,
            "model_output": self.output_name,
        }
        return {name: value for name, value in chosen.items() if value is not None}


class Framings(NamedTuple):
    """What the options say of the crop."""

    landmarks: Path | None
    detector: Path | None
    center: bool | None

    def open(
        self, size: tuple[int, int], source: ImageSource, warn: Warn
    ) -> tuple[Framing, dict[str, str]]:
        """Return the framing, and what to record of its files."""
        from damcli.sources.alignment import AlignByLandmarks
        from damcli.sources.detection import AlignByDetector
        from damcli.sources.framing import CentreSquare, WholeImage
        from damcli.sources.landmarks import read_landmarks
        from damcli.storage.digests import file_digest

        if self.landmarks is not None:
            known = read_landmarks(self.landmarks)
            without = known.check(source.id_of(row) for row in range(len(source)))
            if without:
                warn(
                    f"{counted(len(without), 'image')} of {len(source):,} without landmarks in "
                    f"{self.landmarks}, which will be left out: {first_names(without)}"
                )
            return AlignByLandmarks(size, known), {"landmarks_sha256": file_digest(self.landmarks)}
        if self.detector is not None:
            framing = AlignByDetector(size, self.detector)
            return framing, {"detector_sha256": file_digest(self.detector)}
        return (CentreSquare(size) if self.center else WholeImage(size)), {}

    def check(self) -> None:
        """Refuse options that do not go together."""
        if sum(one is not None for one in self) > 1:
            raise usage_error("--landmarks, --detector and --crop exclude each other")


@dataclass(frozen=True)
class Job:
    """Everything that a run needs, opened."""

    source: ImageSource
    network: Network
    preprocessing: Preprocessing
    framing: Framing
    about: dict[str, str]
    ranks: Ranks


def warn_once(ranks: Ranks, messages: Messages) -> Warn:
    """Let only the first of several processes warn."""
    return messages.warn if ranks.is_first else lambda text: None


def open_job(
    name: str, model: Model, framings: Framings, *, root: Path | None, messages: Messages
) -> Job:
    """Open source, model and framing, and say what the user should know of them."""
    from damcli.embedding.ranks import ranks_from_environment
    from damcli.sources.opening import open_source

    framings.check()
    ranks = ranks_from_environment()
    if name == STDOUT and ranks.size > 1:
        raise usage_error("- cannot be read by several processes: put the list into a file")
    source = open_source(name, root=root, listed=sys.stdin if name == STDOUT else None)
    warn = warn_once(ranks, messages)
    network, preprocessing = model.open(warn)
    framing, digests = framings.open(preprocessing.size, source, warn)
    if ranks.is_first:
        for note in (*getattr(source, "notes", ()), *network.notes):
            messages.say(note)
        messages.say(
            f"{counted(len(source), 'image')} from {name}; {network.name} on {network.runtime}"
        )
        messages.say(f"images: {framing.describe()}; {_shown(preprocessing)}")
    return Job(source, network, preprocessing, framing, {**model.about(), **digests}, ranks)


def _shown(preprocessing: Preprocessing) -> str:
    from damcli.models.contract import shown

    mean, std = shown(preprocessing.mean), shown(preprocessing.std)
    return f"{preprocessing.color}, mean {mean}, std {std}"


def run_job(job: Job, output: Path, messages: Messages, *, as_json: bool, **options: Any) -> None:
    """Embed, and say what was done; an interrupt says what is kept and how to go on."""
    from damcli.embedding.embed import embed

    with ExitStack() as stack:
        said = messages if job.ranks.is_first else Messages(quiet=True)
        bar = _Bar(stack, said, f"{job.source.unit}s")
        try:
            done = embed(
                job.source,
                job.network,
                output,
                preprocessing=job.preprocessing,
                framing=job.framing,
                about=job.about,
                ranks=job.ranks,
                command=command_line(),
                progress=bar,
                **options,
            )
        except KeyboardInterrupt:
            stack.close()
            raise _interrupted(output, job) from None
    if job.ranks.is_first:
        report(done, job.source.unit, messages)
        if as_json:
            print_json("embed", summary(done))


class _Bar:
    """Shows progress on a bar that appears when the work to do is known."""

    def __init__(self, stack: ExitStack, messages: Messages, things: str) -> None:
        self._stack = stack
        self._messages = messages
        self._things = things
        self._advance: Advance | None = None
        self._done = 0

    def __call__(self, now: Progress) -> None:
        if self._advance is None:
            bar = self._messages.progress("embedding", now.total, self._things)
            self._advance = self._stack.enter_context(bar)
        self._advance(now.done - self._done, f"embedding, {now.rejected:,} rejected")
        self._done = now.done


def _interrupted(output: Path, job: Job) -> BaseException:
    from damcli.storage.partial import PartialFile, partials_of

    if not job.ranks.is_first:
        return SystemExit(1)
    kept = sum(len(PartialFile(path)) for path in partials_of(output))
    return Interrupted(
        f"interrupted; {kept:,} of {counted(len(job.source), job.source.unit)} are kept in "
        f"{output}.partial",
        hint="go on with the same command and --resume",
    )
