"""damcli report: the page says what evaluate finds, and needs nothing but itself."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damcli.cli import report_output
from damcli.reports import html
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.made_with import about_path
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces

FARS = ("--far", "1e-3,1e-2,0.1", "--resamples", "40")


class Page(HTMLParser):
    """The tables, texts and links of a page; fails on tags that are not closed."""

    VOID = frozenset({"meta", "img", "line", "circle", "br"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return "\n".join([*self.texts, *(cell for t in self.tables for row in t for cell in row)])


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    made = faces(40, 3)
    race = np.array([("a", "<b>é")[int(name[1:]) % 2] for name in made.subjects], dtype=object)
    made.groups["race"] = race  # type: ignore[index]
    write_embeddings(folder / "emb.h5", made)
    write_embeddings(folder / "anchors.h5", anchors(200))
    files = ("-e", folder / "emb.h5", "-a", folder / "anchors.h5", "-o", folder / "scores.csv")
    done = damcli("score", "--all-pairs", *files, "--group", "race", "--resamples", 0, "-q")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def folder(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with scores and what made them."""
    for path in scored.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def swept(scored: Path) -> Path:
    """The file of a sweep over the same pairs."""
    files = ("-e", scored / "emb.h5", "-a", scored / "anchors.h5", "-o", scored / "sweep.csv")
    done = damcli("sweep", "--all-pairs", *files, "--k", "1,10", "--s", "1,8", *FARS, "-q")
    assert done.code == 0, done.err
    return scored / "sweep.csv"


@pytest.fixture
def undrawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, for what is about words and numbers: drawing is most of a report's time."""
    monkeypatch.setattr(html, "draw", lambda figure, into, suffix: into.write(b"<svg/>"))
    return folder


def report(*arguments: object) -> Outcome:
    return damcli("report", *arguments, *FARS)


def made(*arguments: object) -> Page:
    done = report(*arguments, "-o", "page.html")
    assert done.code == 0, done.err
    assert done.out == ""
    return Page(Path("page.html"))


def scores(path: Path, genuine: dict[str, Any], impostors: dict[str, Any]) -> None:
    """Write scores by cosine and by another metric, without subjects."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["probe_id", "reference_id", "label", *genuine])
        for label, columns in ((1, genuine), (0, impostors)):
            for number, values in enumerate(zip(*columns.values(), strict=True)):
                writer.writerow([f"p{number}", f"r{number}", label, *map(float, values)])


def two_metrics(path: Path, shift: float, noise: float = 0.3) -> None:
    """Write scores whose second metric sees genuine pairs higher by a shift."""
    rng = np.random.default_rng(3)
    genuine, impostors = rng.normal(2.0, 1, 400), rng.normal(0, 1, 4000)
    scores(
        path,
        {"cosine": genuine, "other": genuine + shift + noise * rng.normal(size=400)},
        {"cosine": impostors, "other": impostors},
    )


def test_the_numbers_are_those_of_evaluate(undrawn: Path) -> None:
    page = made("scores.csv", "--group", "race")
    found = damcli("evaluate", "scores.csv", *FARS, "--group", "race", "--json")
    document = json.loads(found.out)
    cells = [cell for table in page.tables for row in table for cell in row]
    for metric, name in zip(document["metrics"], ("cosine", "DAM-R"), strict=True):
        for row in metric["rows"]:
            if row["value"] is None:
                continue
            value, low, high = (100 * row[part] for part in ("value", "low", "high"))
            assert f"{value:.2f} % [{low:.2f}, {high:.2f}]" in cells, (name, row["quantity"])
            if row["difference"] is not None:
                ends = [100 * row[f"difference{end}"] for end in ("", "_low", "_high")]
                assert any("{:+.2f} [{:+.2f}, {:+.2f}]".format(*ends) in cell for cell in cells)
    for row in document["groups"][0]["rows"]:
        if row["kind"] == "group" and row["quantity"] == "FNMR" and row["value"] is not None:
            assert any(cell.startswith(f"{100 * row['value']:.2f} %") for cell in cells)
    counts = document["counts"]
    assert f"{counts['impostors']:,} impostor pairs of {counts['subjects']} subjects" in page.text


@pytest.mark.parametrize(
    ("shift", "words", "mark"),
    [
        (1.0, "Other helps at every FAR that these pairs can measure.", "▲ helps"),
        (-1.0, "Other hurts at every FAR that these pairs can measure.", "▼ hurts"),
        (0.0, "No difference is shown at any FAR that these pairs can measure.", "● no difference"),
    ],
)
def test_the_verdict(undrawn: Path, shift: float, words: str, mark: str) -> None:
    two_metrics(undrawn / "two.csv", shift, noise=0.02 if shift == 0 else 0.3)
    page = made("two.csv", "--score", "cosine", "--score", "other")
    assert page.texts[page.texts.index(words) - 1] == "Does DAM help? Verification by cosine, other"
    marks = [row[1] for row in page.tables[0][1:]]
    assert all(one.startswith(mark) for one in marks)
    found = json.loads(
        damcli("evaluate", "two.csv", "--score", "cosine", "--score", "other", *FARS, "--json").out
    )
    rows = [row for row in found["metrics"][1]["rows"] if row["quantity"] == "TAR@FAR"]
    assert [row["difference_low"] > 0 for row in rows] == [shift > 0] * 3
    assert [row["difference_high"] < 0 for row in rows] == [shift < 0] * 3


def test_a_mixed_verdict_and_what_it_costs(undrawn: Path) -> None:
    rng = np.random.default_rng(0)
    genuine, impostors = rng.normal(3, 1, 400), rng.normal(0, 1, 4000)
    # The hardest impostors go, and the easiest genuine pairs go with them.
    other = np.where(genuine < 1.5, genuine - 3, genuine)
    scores(
        undrawn / "mixed.csv",
        {"cosine": genuine, "other": other},
        {"cosine": impostors, "other": np.minimum(impostors, 1.4)},
    )
    page = made("mixed.csv", "--score", "cosine", "--score", "other")
    assert any(
        text.startswith("Other helps at FAR 1e-3 and 1e-2; other hurts at FAR 1e-1")
        for text in page.texts
    )
    assert any("AUC gets worse: 9" in text for text in page.texts)


def test_what_cannot_be_told(undrawn: Path) -> None:
    two_metrics(undrawn / "two.csv", 1.0)
    options = ("--score", "cosine", "--score", "other", "-o", "page.html", "--force")
    assert damcli("report", "two.csv", *options, "--far", "1e-4", "--resamples", 20).code == 0
    page = Page(Path("page.html"))
    assert "These pairs cannot tell whether other helps against cosine." in page.texts
    assert any("Too few impostor pairs for FAR 1e-4" in text for text in page.texts)
    assert damcli("report", "two.csv", *options, "--far", "1e-2", "--resamples", 0).code == 0
    page = Page(Path("page.html"))
    assert "These pairs cannot tell whether other helps against cosine." in page.texts
    assert not any("helps at" in text for text in page.texts)


def test_one_score_alone(undrawn: Path) -> None:
    page = made("scores.csv", "--score", "cosine")
    assert "One score, cosine: there is nothing to compare it with." in page.texts


def test_nothing_is_fetched_and_nothing_runs(folder: Path) -> None:
    page = made("scores.csv", "-e", "emb.h5", "-a", "anchors.h5", "--group", "race")
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/svg+xml;base64,", "#"))
        assert not any(name.startswith("on") for name in attributes)
    style = page.source[page.source.index("<style>") : page.source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_for_those_who_do_not_see_it(folder: Path) -> None:
    page = made("scores.csv", "-e", "emb.h5", "-a", "anchors.h5", "--group", "race")
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 6
    assert all(len(one["alt"] or "") > 30 for one in pictures)
    assert dict(page.tags[0][1]) == {"lang": "en"}
    captions = sum(tag == "caption" for tag, _ in page.tags)
    assert captions == sum(tag == "table" for tag, _ in page.tags) > 5
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}


def test_every_row_is_as_wide_as_its_table(undrawn: Path) -> None:
    """Cells that span lines are counted in each of them."""
    page = made("scores.csv", "--group", "race")
    widths: list[list[int]] = []
    for tag, attributes in page.tags:
        if tag == "table":
            widths.append([])
            covered: dict[int, int] = {}
            row = -1
        elif tag == "tr":
            row += 1
            widths[-1].append(covered.get(row, 0))
        elif tag in ("th", "td"):
            widths[-1][-1] += 1
            for below in range(1, int(attributes.get("rowspan") or 1)):
                covered[row + below] = covered.get(row + below, 0) + 1
    assert len(widths) > 5
    assert all(len(set(one)) == 1 for one in widths)


def test_what_others_wrote_is_text(folder: Path) -> None:
    evil = "<script>alert('x')</script>"
    name = "<img src=x onerror=alert(1)>.csv"
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    rows[0] = [cell.replace("_race", f"_{evil}") for cell in rows[0]]
    for row in rows[1:]:
        row[:] = [cell if cell != "a" else f"{evil}&amp;$x_" for cell in row]
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    page = made(name, "--group", evil)
    assert not {"script"} & {tag for tag, _ in page.tags}
    assert "<script" not in page.source
    assert "<img src=x" not in page.source
    assert evil in page.text
    assert f"{evil}&amp;$x_" in page.text
    assert name in page.text


def test_a_group_of_any_name_is_drawn(folder: Path) -> None:
    made_up = faces(40, 3)
    odd = ("$x_{$", "<script>alert(1)</script>")
    labels = [odd[int(name[1:]) % 2] for name in made_up.subjects]
    made_up.groups["ra ce"] = np.array(labels, dtype=object)  # type: ignore[index]
    write_embeddings(Path("odd.h5"), made_up)
    files = ("-e", "odd.h5", "-a", "anchors.h5")
    done = damcli("score", "--all-pairs", *files, "--group", "ra ce", "-o", "odd.csv", "-q")
    assert done.code == 0, done.err
    page = made("odd.csv", *files, "--group", "ra ce")
    assert "<script" not in page.source
    alts = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    assert alts[-1].startswith("Log LID by ra ce, medians: $x_{$ ")


def test_the_same_input_gives_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("scores.csv", "--figures", "figures")
    made(*arguments, "--force")
    first = {path: path.read_bytes() for path in [Path("page.html"), *Path("figures").iterdir()]}
    made(*arguments, "--force")
    assert all(path.read_bytes() == content for path, content in first.items())
    assert not re.search(r"20\d\d-\d\d", "".join(Page(Path("page.html")).texts))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert "on 2023-11-14:" in made("scores.csv", "--force").text


def test_the_page_tells_what_was_run(undrawn: Path) -> None:
    page = made("scores.csv")
    facts = dict(row for row in page.tables[-1] if len(row) == 2)
    about = json.loads(about_path(Path("scores.csv")).read_text())
    assert facts["command"] == about["about"]["command"]
    assert facts["anchors, SHA-256"] == about["about"]["anchors"]
    assert facts["scores, SHA-256"] == about["scores_sha256"]
    assert (facts["anchors, kind"], facts["anchors, number"]) == ("real-db", "200")
    assert (facts["k"], facts["s"], facts["form"]) == ("10", "1.0", "sum")
    assert "damcli report scores.csv -o page.html" in page.text or page.texts[-1].startswith(
        "damcli report scores.csv"
    )


def test_parquet_tells_the_same(undrawn: Path) -> None:
    files = ("--all-pairs", "-e", "emb.h5", "-a", "anchors.h5", "--resamples", 0, "-q")
    assert damcli("score", *files, "-o", "scores.parquet").code == 0
    pages = [made("scores.csv", "--force"), made("scores.parquet", "--force")]
    known = [
        {row[0]: row[1] for row in page.tables[-1] if not row[0].startswith(("scores", "command"))}
        for page in pages
    ]
    assert known[0] == known[1]
    assert pages[0].tables[:3] == pages[1].tables[:3]


def test_several_files_are_held_against_each_other(undrawn: Path) -> None:
    two_metrics(undrawn / "good.csv", 1.0)
    two_metrics(undrawn / "none.csv", 0.0, noise=0.02)
    page = made("good.csv", "none.csv", *("--score", "cosine", "--score", "other"))
    assert page.texts[2] == "Helps in 1 of 2; no difference shown in 1 of 2 scores files."
    comparison = page.tables[0]
    assert [row[0] for row in comparison if row[0][:2] in ("1.", "2.")] == [
        "1. good.csv",
        "2. none.csv",
    ]
    anchors_there = {attributes.get("id") for _, attributes in page.tags}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert [link and link[1:] in anchors_there for link in links] == [True, True]


def test_figures_in_three_formats(folder: Path) -> None:
    made("scores.csv", "-e", "emb.h5", "-a", "anchors.h5", "--figures", "figures")
    names = ["det", "lid", "roc", "scores", "similarity"]
    heads = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    found = sorted(path.name for path in Path("figures").iterdir())
    assert found == sorted(name + suffix for name in names for suffix in heads)
    for path in Path("figures").iterdir():
        assert path.read_bytes().startswith(heads[path.suffix])


def test_the_curves_of_a_sweep(swept: Path, folder: Path) -> None:
    page = made("scores.csv", "--sweep", swept, "--figures", "figures")
    assert any(text.startswith("Nothing was chosen") for text in page.texts)
    assert "TAR over k, s and the number of anchors" in page.texts
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [(one["alt"] or "").split(".")[0] for one in pictures[-2:]] == [
        *("Curves over k", "Curves over s"),
    ]
    digest = hashlib.sha256(swept.read_bytes()).hexdigest()
    assert dict(page.tables[-1]) == {"sweep": str(swept), "sweep, SHA-256": digest}
    names = {path.name for path in Path("figures").iterdir()}
    assert {f"sweep_{axis}.{kind}" for axis in "ks" for kind in ("png", "svg", "pdf")} <= names
    for name in names - {"sweep_s.pdf"}:
        Path("figures", name).unlink(missing_ok=True)
    options = ("--sweep", swept, "-o", "other.html", "--figures", "figures")
    failed(report("scores.csv", *options), "sweep_s.pdf: exists already", "--force")
    assert not Path("other.html").exists()


def test_figures_and_page_whole_or_not_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("page.html").write_text("before")
    Path("figures").mkdir()
    Path("figures/roc.svg").write_text("before")
    options = ("-o", "page.html", "--figures", "figures")
    failed(report("scores.csv", *options), "page.html: exists already", "--force")
    Path("page.html").unlink()
    failed(report("scores.csv", *options), "roc.svg: exists already", "--force")
    assert [path.name for path in Path("figures").iterdir()] == ["roc.svg"]
    assert not Path("page.html").exists()

    calls = []

    def full(target: Path, *, force: bool) -> Any:
        calls.append(target)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        return atomic_output(target, force=force)

    atomic_output = report_output.atomic_output
    monkeypatch.setattr(report_output, "atomic_output", full)
    failed(report("scores.csv", "-o", "page.html", "--figures", "new"), "the disk is full")
    assert not Path("new").exists()
    assert not Path("page.html").exists()


def test_without_matplotlib(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    failed(report("scores.csv", "-o", "page.html"), "needs the extra [plots]", "pip install")
    assert not Path("page.html").exists()


def test_scores_of_unknown_origin(undrawn: Path) -> None:
    about_path(Path("scores.csv")).unlink()
    page = made("scores.csv")
    assert "Nothing is recorded of how these scores were made" in page.text
    assert "score" in page.tables[0][0][3]


def test_warnings(undrawn: Path) -> None:
    page = made("scores.csv")
    assert "Only 40 subjects" in page.text
    assert "At FAR 1e-3 the threshold is set by the 8 highest of 7,020 impostor pairs" in page.text
    two_metrics(undrawn / "two.csv", 0.0)
    page = made("two.csv", *("--score", "cosine", "--score", "other"), "--force")
    assert "pairs are resampled" in page.text


def test_overlap_is_told(undrawn: Path) -> None:
    write_embeddings(Path("own.h5"), anchors(200))
    files = ("-e", "emb.h5", "-a", "own.h5", "-o", "own.csv", "--allow-overlap")
    assert damcli("score", "--all-pairs", *files, "--resamples", 0, "-q").code == 0
    assert "--allow-overlap" in "".join(t for t in made("own.csv").texts if "may show people" in t)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.csv", "-o", "p.html"), "none.csv: no such file"),
        (("scores.csv", "-o", "p.pdf"), "p.pdf: a page of unknown kind '.pdf'; expected .html"),
        (("scores.csv", "-o", "no/p.html"), "its folder no does not exist"),
        (("scores.csv", "-o", "p.html", "--score", "much"), "expected a column 'much'"),
        (("scores.csv", "-o", "p.html", "--group", "age"), "no column 'age' to group by"),
        (("scores.csv", "-o", "p.html", "--figures", "emb.h5"), "emb.h5: is a file"),
        (("scores.csv", "-o", "p.html", "--sweep", "scores.csv"), "row 1: has no column on, "),
        (
            ("scores.csv", "-o", "p.html", "-e", "anchors.h5", "-a", "anchors.h5"),
            "scores.csv was made with embeddings of ",
        ),
    ],
)
def test_bad_input(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    before = sorted(folder.iterdir())
    failed(report(*arguments), message)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scores.csv", "./scores.csv", "-o", "p.html"), "./scores.csv is given twice"),
        (("-", "-o", "p.html"), "expected files, not -"),
        (("scores.csv", "-o", "p.html", "-e", "emb.h5"), "--embeddings and --anchors go together"),
        (("scores.csv",), "Missing option"),
    ],
)
def test_usage(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = report(*arguments)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())


def test_a_changed_scores_file_is_refused(folder: Path) -> None:
    with Path("scores.csv").open("a") as file:
        file.write("x,y,p000,p001,0,0.1,0.1,a,a\n")
    failed(report("scores.csv", "-o", "p.html"), "which was changed since", "score again")


def test_a_date_that_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    failed(report("scores.csv", "-o", "p.html"), "SOURCE_DATE_EPOCH is 'yesterday'")
