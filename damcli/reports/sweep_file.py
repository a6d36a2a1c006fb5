"""A sweep read back from its file, whole, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from damcli.errors import InputError, UserError
from damcli.evaluation.folds import FoldAccuracy
from damcli.evaluation.rates import OperatingPoint
from damcli.evaluation.results import Estimate, Interval, MetricResult
from damcli.reports.rows import FOLDS, TAR
from damcli.reports.sweep_lines import ANEW, Line, read_lines
from damcli.sweeping.settings import DEFAULT, Plan, Setting


@dataclass(frozen=True)
class StoredCurves:
    """The numbers of a sweep; see `damcli.sweeping.curves.Curves`."""

    plan: Plan
    anchors: int
    cosine: MetricResult
    settings: Mapping[Setting, MetricResult]

    def of(self, setting: Setting) -> MetricResult:
        """Return the numbers of a setting."""
        return self.settings[setting]


@dataclass(frozen=True)
class Tested:
    """What was chosen on development pairs, on the pairs that it is judged by.

    Attributes
    ----------
    setting
        What was chosen.
    cosine, default, chosen
        The numbers of cosine, of the default setting, and of what was chosen.
    """

    setting: Setting
    cosine: MetricResult
    default: MetricResult
    chosen: MetricResult


@dataclass(frozen=True)
class SweepFile:
    """A sweep's file.

    Attributes
    ----------
    curves
        Over all settings.
    tested
        What was chosen by them; None where nothing was.
    """

    curves: StoredCurves
    tested: Tested | None


Parts = dict[tuple[str, Setting | None], list[Line]]


def read_sweep(path: Path) -> SweepFile:
    """Read what ``damcli sweep`` wrote.

    Parameters
    ----------
    path
        The table of ``-o``, or as ``.json`` what ``--json`` printed.

    Returns
    -------
    SweepFile
        Rates are fractions. How many genuine pairs were accepted is not known.

    Raises
    ------
    InputError
        It is missing, damaged, not of a sweep, or lacks a number of a setting; or no FAR in
        it allows a false accept and it knows no folds, so that it has no curve.
    """
    parts, sizes = _parted(read_lines(path))
    origin = str(path)
    found = {on for on, _ in parts}
    if found not in ({"pairs"}, {"dev", "test"}):
        raise InputError(
            origin,
            f"holds numbers on {' and '.join(sorted(found))}; expected pairs, or dev and test",
            hint=ANEW,
        )
    on = "pairs" if "pairs" in found else "dev"
    mine = {setting: lines for (where, setting), lines in parts.items() if where == on}
    curves = _curves(origin, mine, sizes)
    if curves.cosine.folds is None and not any(point.allowed for point in curves.cosine.points):
        raise InputError(
            origin,
            "no FAR in it allows a false accept of so few impostor pairs; expected one that does",
            hint="sweep again with higher FARs: --far",
        )
    if len(curves.settings) == 1:
        raise InputError(
            origin,
            "holds one setting; expected several k, several s, or drawn anchors",
            hint="sweep again with several: --k, --s or --anchors-size",
        )
    if on == "pairs":
        return SweepFile(curves, None)
    judged = {setting: lines for (where, setting), lines in parts.items() if where == "test"}
    return SweepFile(curves, _tested(origin, judged))


def _parted(lines: Sequence[Line]) -> tuple[Parts, set[int]]:
    """Put the lines of a setting together; and the numbers of anchors that none was drawn from."""
    parts: Parts = {}
    sizes = set()
    for line in lines:
        metric, k, s = line.text("metric"), line.count("k"), line.number("s")
        setting = None
        if metric != "cosine":
            anchors, seed = line.count("anchors"), line.count("seed")
            if metric != "DAM-R" or k is None or s is None or anchors is None:
                raise line.wrong("metric", "cosine, or DAM-R with its k, s and anchors")
            if seed is None and line.text("on") != "test":
                sizes.add(anchors)
            setting = Setting(k, s, None if seed is None else anchors, seed)
        parts.setdefault((line.text("on"), setting), []).append(line)
    return parts, sizes


def _curves(
    origin: str, parts: Mapping[Setting | None, Sequence[Line]], sizes: set[int]
) -> StoredCurves:
    settings = [one for one in parts if one is not None]
    plain = [one for one in settings if one.size is None]
    drawn = [one for one in settings if one.size is not None]
    try:
        plan = Plan(
            tuple({one.k for one in plain}),
            tuple({one.s for one in plain}),
            tuple({one.size for one in drawn if one.size is not None}),
            tuple({one.seed for one in drawn if one.seed is not None}),
        )
    except UserError as error:
        raise InputError(origin, str(error), hint=ANEW) from error
    wanted: list[Setting | None] = [None, *plan.grid, *plan.drawn]
    for setting in wanted:
        if setting not in parts:
            raise _lacks(origin, setting, "all numbers")
    if len(sizes) != 1 or len(parts) != len(wanted):
        raise InputError(
            origin,
            f"is of {len(parts)} settings and {len(sizes)} sets of anchors; expected every k with "
            "every s, of one set of anchors",
            hint=ANEW,
        )
    results = {setting: _metric(origin, setting, lines) for setting, lines in parts.items()}
    cosine = results[None]
    _check_alike(origin, results)
    return StoredCurves(
        plan, sizes.pop(), cosine, {one: results[one] for one in (*plan.grid, *plan.drawn)}
    )


def _tested(origin: str, parts: Mapping[Setting | None, Sequence[Line]]) -> Tested:
    for setting in (None, DEFAULT):
        if setting not in parts:
            raise _lacks(origin, setting, "the test")
    others = [one for one in parts if one not in (None, DEFAULT)]
    if len(others) > 1:
        raise InputError(
            origin, f"{len(others)} settings on test; expected the chosen one", hint=ANEW
        )
    chosen = next((one for one in others if one is not None), DEFAULT)
    results = {setting: _metric(origin, setting, lines) for setting, lines in parts.items()}
    _check_alike(origin, results)
    return Tested(chosen, results[None], results[DEFAULT], results[chosen])


def _check_alike(origin: str, results: Mapping[Setting | None, MetricResult]) -> None:
    """Refuse a setting with other FARs, or without the folds, of cosine."""
    cosine = results[None]
    for setting, one in results.items():
        mine, theirs = ([(p.far, p.allowed) for p in metric.points] for metric in (one, cosine))
        if mine != theirs or (one.folds is None) != (cosine.folds is None):
            raise _lacks(origin, setting, "the FARs and folds of cosine")


def _metric(origin: str, setting: Setting | None, lines: Sequence[Line]) -> MetricResult:
    tars = [line for line in lines if line.text("quantity") == TAR]
    others = {line.text("quantity"): line for line in lines if line.text("quantity") != TAR}
    if len({line.rate("far") for line in tars}) + len(others) != len(lines):
        raise InputError(origin, f"numbers of {_name(setting)} stand there twice", hint=ANEW)
    for quantity in ("EER", "AUC", "best accuracy"):
        if quantity not in others:
            raise _lacks(origin, setting, quantity)
    points = tuple(_point(line) for line in tars)
    folds = others.get(FOLDS)
    return MetricResult(
        name=_name(setting),
        points=points,
        tars=tuple(_estimate(tars[at]) if one.allowed else None for at, one in enumerate(points)),
        eer=_estimate(others["EER"]),
        eer_threshold=_threshold(others["EER"]),
        auc=_estimate(others["AUC"]),
        best_accuracy=_estimate(others["best accuracy"]),
        best_threshold=_threshold(others["best accuracy"]),
        folds=None if folds is None else _folds(folds),
    )


def _point(line: Line) -> OperatingPoint:
    allowed = line.count("allowed_false_accepts")
    if allowed is None:
        raise line.wrong("allowed_false_accepts", "a whole number")
    if not allowed:
        return OperatingPoint(line.rate("far"), 0)
    return OperatingPoint(
        line.rate("far"),
        allowed,
        threshold=line.number("threshold"),
        false_accepts=line.count("false_accepts"),
        achieved_far=line.rate("achieved_far"),
        tar=line.rate("value"),
    )


def _estimate(line: Line) -> Estimate:
    return Estimate(
        line.rate("value"),
        _interval(line, "low", "high"),
        line.number("difference"),
        _interval(line, "difference_low", "difference_high"),
    )


def _interval(line: Line, low: str, high: str) -> Interval | None:
    ends = line.number(low), line.number(high)
    return None if ends[0] is None or ends[1] is None else Interval(ends[0], ends[1])


def _threshold(line: Line) -> float:
    """Return a threshold; one that is not told is infinite."""
    found = line.number("threshold")
    return float("inf") if found is None else found


def _folds(line: Line) -> FoldAccuracy:
    count, _, unit = line.text("note").partition(" ")
    if unit != "folds" or not count.isdecimal():
        raise line.wrong("note", "the number of folds, as in 10 folds")
    return FoldAccuracy(line.rate("value"), line.number("standard_error") or 0.0, int(count))


def _name(setting: Setting | None) -> str:
    return "cosine" if setting is None else setting.name


def _lacks(origin: str, setting: Setting | None, what: str) -> InputError:
    return InputError(
        origin,
        f"lacks {what} of {_name(setting)}; expected every number of every k with every s",
        hint=ANEW,
    )
