"""``--protocol`` and ``--root``: official pairs in the place of a list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import DEFAULT_FAR, Messages, parse_fars, usage_error

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.protocols.naming import FittedPairs
    from damcli.protocols.official import OfficialPairs
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.score import ListedScores

ProtocolOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Pairs of lfw, calfw, cplfw, cfp-ff, cfp-fp, agedb, ytf, rfw, ijbb, ijbc, "
        "insightface-bin or trials; needs --root.",
    ),
]
RootOption = Annotated[
    Path | None,
    typer.Option(help="Folder of the protocol's official files, or its list of pairs itself."),
]


def check_protocol_options(protocol: str | None, root: Path | None) -> None:
    """Refuse one without the other, and a protocol that there is not."""
    if (protocol is None) != (root is None):
        raise usage_error("--protocol NAME and --root DIR go together")
    if protocol is not None:
        from damcli.protocols.opening import PROTOCOLS

        if protocol not in PROTOCOLS:
            raise usage_error(f"--protocol {protocol}: expected one of {', '.join(PROTOCOLS)}")


def open_official(protocol: str | None, root: Path | None) -> OfficialPairs | None:
    """Open the pairs of a protocol, where one is named."""
    from damcli.protocols.opening import open_protocol

    return None if protocol is None or root is None else open_protocol(protocol, root)


def fars_of(protocol: str | None, far: str | None) -> tuple[float, ...]:
    """Return the false accept rates asked for, or else the protocol's own."""
    from damcli.protocols.opening import PROTOCOLS

    if far is None and protocol is not None:
        return PROTOCOLS[protocol].fars
    return parse_fars(DEFAULT_FAR if far is None else far)


def fit(
    pairs: OfficialPairs, sides: dict[str, Any], skip_missing: bool, messages: Messages
) -> FittedPairs:
    """Put the embeddings' ids into the pairs; say by which rule, and what has none."""
    from damcli.protocols.naming import fit_ids, missing_text, needs_pooling

    embeddings, gallery = sides["embeddings"], sides["gallery"]
    fitted = fit_ids(pairs, embeddings, gallery, skip_missing=skip_missing)
    for naming, side in _sides(fitted, embeddings, gallery):
        messages.say(f"{fitted.unit} found in {side.origin} by {naming.rule}")
        if needs_pooling(pairs.unit, side):
            messages.warn(
                f"{side.origin} does not say that it was pooled; expected {fitted.unit}, not images"
            )
        if naming.missing:
            messages.warn(f"{fitted.origin}: {missing_text(naming, fitted.unit, side)}")
    return fitted


def _sides(fitted: FittedPairs, embeddings: Any, gallery: Any) -> list[tuple[Any, Any]]:
    sides = [(fitted.probes, embeddings)]
    return sides if gallery is None else [*sides, (fitted.references, gallery)]


def about_protocol(protocol: str | None, fitted: FittedPairs | None) -> dict[str, Any]:
    """Say what was scored, for what is recorded with the scores."""
    if fitted is None:
        return {}
    rules = dict.fromkeys((fitted.probes.rule, fitted.references.rule))
    return {"protocol": protocol, "ids_found_by": " and ".join(rules)}


def pairs_digest(fitted: FittedPairs | None) -> dict[str, str | None]:
    """Take the SHA-256 of the list; of several lists, that of their SHA-256 in order."""
    from hashlib import sha256

    from damcli.storage.digests import file_digest

    if fitted is None:
        return {}
    digests = [file_digest(path) for path in fitted.files]
    if len(digests) == 1:
        return {"pairs": digests[0]}
    return {"pairs": sha256("".join(digests).encode()).hexdigest()}


def ids_left_out(fitted: FittedPairs | None) -> dict[str, int]:
    """Count the ids without an embedding, for the JSON document."""
    if fitted is None:
        return {}
    return {"ids": len({*fitted.probes.missing, *fitted.references.missing})}


def in_own_metric(
    evaluation: Evaluation,
    protocol: str | None,
    scores: ListedScores | AllPairScores,
) -> Evaluation:
    """Tell an evaluation as the protocol does."""
    from damcli.evaluation.by_group import lead_with
    from damcli.protocols.opening import PROTOCOLS
    from damcli.scoring.score import ListedScores

    if protocol is None or not isinstance(scores, ListedScores):
        return evaluation
    found = PROTOCOLS[protocol]
    return lead_with(evaluation, found.metric, scores, found.group)
