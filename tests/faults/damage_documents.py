"""Ways to spoil documents: the JSON of calibrations, thresholds and sweeps, TOML, sweep tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.damage import Damage, cut
from tests.faults.damage_text import cell, line, ragged, recoded, text

GONE = object()


def entry(name: str, path: str, value: object, says: str = "") -> Damage:
    """Set an entry of a JSON document, named by keys with dots between; or take it away."""
    *parents, last = path.split(".")

    def apply(file: Path) -> None:
        document: Any = json.loads(file.read_text("utf-8"))
        part = document
        for parent in parents:
            part = part[parent]
        if value is GONE:
            del part[last]
        else:
            part[last] = value
        file.write_text(json.dumps(document), "utf-8")

    return Damage(name, apply, says)


def replaced(name: str, change: Callable[[str], str], says: str = "") -> Damage:
    """Change the whole text."""
    return Damage(
        name, lambda path: path.write_text(change(path.read_text("utf-8")), "utf-8"), says
    )


JSON = (
    *cut(1, 0.3, 0.7, -3),
    recoded("utf-16"),
    text("list", "[]"),
    text("number", "3"),
    text("null", "null"),
    text("nested", "[" * 100_000),
    text("digits", '{"schema": ' + "9" * 5000 + "}"),
    replaced("comma", lambda old: old.replace("}", ",}", 1)),
    entry("another-schema", "schema", "else/where"),
    entry("schema-missing", "schema", GONE),
    entry("version-99", "schema_version", 99, "99"),
    entry("version-text", "schema_version", "one", "one"),
)
CALIBRATION = (
    *JSON,
    entry("form-unknown", "form", "cubic", "form is 'cubic'"),
    entry("form-list", "form", ["dam"], "form"),
    entry("constant-text", "coefficients.constant", "0", "coefficients.constant"),
    entry("constant-nan", "coefficients.constant", float("nan"), "coefficients.constant"),
    entry("constant-huge", "coefficients.constant", 10**400, "coefficients.constant"),
    entry("constant-missing", "coefficients.constant", GONE, "'constant'"),
    entry("coefficient-unknown", "coefficients.luck", 1.0, "'luck'"),
    entry("coefficients-list", "coefficients", [], "coefficients"),
    entry("range-falls", "lid_range", [2, 1], "lid_range"),
    entry("range-of-three", "lid_range", [1, 2, 3], "lid_range"),
    entry("prior-1", "prior", 1, "prior"),
    entry("prior-true", "prior", True, "prior"),
    entry("combine-list", "combine", [], "combine"),
    entry("counts-below-0", "counts.genuine", -1, "counts.genuine"),
    entry("lid-source", "lid.source", "stars", "lid.source"),
    entry("lid-source-list", "lid.source", [], "lid.source"),
    entry("lid-k-text", "lid.k", "ten", "lid.k"),
    entry("lid-k-another", "lid.k", 7),
    entry("lid-of-other-anchors", "lid.sha256", "0" * 64),
    entry("about-text", "about", "me", "about"),
)
THRESHOLD = (
    *JSON,
    entry("threshold-nan", "threshold", float("nan"), "threshold"),
    entry("threshold-text", "threshold", "high", "threshold"),
    entry("threshold-huge", "threshold", 10**400, "threshold"),
    entry("threshold-missing", "threshold", GONE, "threshold is missing"),
    entry("far-2", "far", 2, "far"),
    entry("distance-text", "distance", "no", "distance"),
    entry("score-number", "score", 3, "score"),
    entry("score-unknown", "score", "luck", "luck"),
    entry("development-list", "development", [], "development"),
    entry("tar-missing", "development.tar", GONE, "tar"),
    entry("genuine-true", "development.genuine", True, "genuine"),
    entry("interval-of-one", "threshold_interval", [1], "threshold_interval"),
    entry("made-with-text", "made_with", "love", "not a readable threshold"),
    entry("made-with-another-k", "made_with.k", 7, "k"),
)
ABOUT = (
    *JSON,
    entry("of-other-scores", "scores_sha256", "0" * 64),
    entry("about-text", "about", "me"),
)
TOML = (
    *cut(-2, 3),
    recoded("utf-16"),
    text("prose", "steps is two\n", "is not TOML"),
    text("key-twice", "steps = 2\nsteps = 3\n", "is not TOML"),
    text("key-unknown", "step = 2\n", "unknown key 'step'"),
    text("table", "[steps]\nmany = 2\n", "steps"),
    text("steps-text", 'steps = "2"\n', "steps is '2'"),
    text("steps-0", "steps = 0\n", "steps is 0"),
    text("steps-true", "steps = true\n", "steps is True"),
    text("lr-nan", "lr = nan\n", "lr is nan"),
    text("lr-huge", f"lr = 1{'0' * 400}\n", "lr"),
    text("milestones-fall", "milestones = [2, 1]\n", "milestones"),
    text("milestones-text", 'milestones = "1,2"\n', "milestones"),
    text("recipe-unknown", 'recipe = "pie"\n', "pie"),
    text("recipe-number", "recipe = 3\n", "recipe"),
    text("backbone-date", "backbone = 1979-05-27\n", "backbone"),
    text("nested", "steps = " + "[" * 5000 + "]" * 5000 + "\n"),
)
SWEEP = (
    *ragged(7),
    recoded("utf-16"),
    text("blank-lines", "\n\n  \n", "is empty"),
    cell("another-header", 1, 0, "where", "has no column on"),
    cell("value-text", 7, 7, "much", "row 7"),
    cell("value-2", 7, 7, "2", "row 7"),
    cell("k-text", 9, 2, "few", "row 9"),
    cell("metric-unknown", 9, 1, "luck", "row 9"),
    line("a-setting-twice", 9, lambda old: f"{old}\n{old}", "twice"),
    Damage(
        "a-setting-missing",
        lambda path: path.write_text("\n".join(path.read_text().splitlines()[:-3]) + "\n"),
        "lacks",
    ),
)
SWEEP_JSON = (
    *JSON,
    entry("metrics-text", "pairs.metrics", "many"),
    entry("metrics-empty", "pairs.metrics", []),
    entry("metrics-numbers", "pairs.metrics", [1, 2]),
    entry("pairs-missing", "pairs", GONE, "holds no numbers"),
    entry("pairs-text", "pairs", "many"),
    replaced("a-row-without-low", lambda old: old.replace('"low"', '"law"', 1), "without low"),
)
