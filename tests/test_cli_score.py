from __future__ import annotations

import csv
import errno
import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.reports.tables import conservative_digits
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(12, 3)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_pairs(tmp_path / "pairs.csv", people)
    write_pairs(tmp_path / "unlabelled.csv", people, labels=False)
    return tmp_path


def score(folder: Path, *options: object, pairs: str = "pairs.csv", stdin: bytes = b"") -> object:
    return damcli(
        *("score", pairs if pairs == "-" else folder / pairs, "-e", folder / "emb.h5"),
        *options,
        stdin=stdin,
    )


def test_labelled_pairs_give_both_metrics_and_a_file(folder: Path) -> None:
    out = folder / "scores.csv"
    done = score(folder, "-a", folder / "anchors.h5", "-o", out, "--far", "1e-2,0.1")
    assert done.code == 0, done.err
    assert "cosine" in done.out
    assert "DAM-R" in done.out
    assert "EER" in done.out
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert len(rows) == 36 * 35 // 2
    assert list(rows[0]) == [
        *("probe_id", "reference_id", "probe_subject", "reference_subject"),
        *("label", "cosine", "score"),
    ]


def test_json_of_score_and_evaluate_agree(folder: Path) -> None:
    out = folder / "scores.csv"
    options = ("--far", "1e-2,0.1", "--resamples", "50", "--json")
    first = score(folder, "-a", folder / "anchors.h5", "-o", out, *options)
    second = damcli("evaluate", out, *options)
    one, other = json.loads(first.out), json.loads(second.out)
    assert one["schema_version"] == other["schema_version"] == 1
    assert set(one["inputs"]) == {"embeddings", "anchors", "pairs"}

    def unnamed(document: dict) -> list:
        return [
            {key: value for key, value in metric.items() if key not in ("name", "metric")}
            for metric in document["metrics"]
        ]

    assert unnamed(one) == unnamed(other)


def test_all_pairs_prints_what_the_list_prints(folder: Path) -> None:
    options = ("-a", folder / "anchors.h5", "--far", "1e-2,0.1", "--csv", "--resamples", "0")
    listed = score(folder, *options)
    whole = damcli("score", "--all-pairs", "-e", folder / "emb.h5", *options)
    assert whole.code == 0, whole.err
    for one, other in zip(
        csv.DictReader(io.StringIO(listed.out)),
        csv.DictReader(io.StringIO(whole.out)),
        strict=True,
    ):
        assert one["quantity"] == other["quantity"]
        assert one["value"] == other["value"]


def test_unlabelled_pairs_are_just_scored_to_stdout(folder: Path) -> None:
    done = score(folder, "-a", folder / "anchors.h5", pairs="unlabelled.csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert len(rows) == 630
    assert "label" not in rows[0]
    assert -1 <= float(rows[0]["cosine"]) <= 1


def test_pairs_from_stdin_scores_to_stdout_table_to_stderr(folder: Path) -> None:
    text = (folder / "pairs.csv").read_bytes()
    done = score(folder, "-o", "-", "--far", "0.1", pairs="-", stdin=text)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 631
    assert "EER" in done.err
    assert "score" not in done.out.splitlines()[0].split(",")


def test_a_gallery_in_another_file(folder: Path) -> None:
    people = faces(12, 3)
    write_embeddings(folder / "probes.h5", people.take(slice(0, 18)))
    done = damcli(
        *("score", "--all-pairs", "-e", folder / "probes.h5", "--gallery", folder / "emb.h5"),
        *("--far", "0.1", "--json"),
    )
    counts = json.loads(done.out)["counts"]
    assert counts["genuine"] + counts["impostors"] == 18 * 36 - 18


def test_skip_missing_counts_names_and_lists(folder: Path) -> None:
    with (folder / "pairs.csv").open("a") as file:
        file.write("p000/0,nobody,0\n")
    out = folder / "scores.csv"
    failed(score(folder, "-o", out), "pairs.csv, row 632", "'nobody' has no embedding", "hint:")
    assert not out.exists()
    done = score(folder, "-o", out, "--skip-missing", "--far", "0.1")
    assert done.code == 0
    assert "1 of 631 pairs left out" in done.err
    assert "'nobody' (row 632)" in done.err
    rejected = (folder / "scores.rejects.csv").read_text().splitlines()
    assert rejected[1:] == ["632,p000/0,nobody,nobody"]


def test_pairs_of_an_embedding_with_itself_are_counted_and_scored(folder: Path) -> None:
    assert "itself" not in score(folder, "--far", "0.1").err
    with (folder / "pairs.csv").open("a") as file:
        file.write("p000/0,p000/0,1\np001/0,p000/0,0\np001/0,p001/0,1\n")
    done = score(folder, "--far", "0.1", "--json")
    assert "pairs.csv, row 632: 2 of 633 pairs are of an embedding with itself" in done.err
    counts = json.loads(done.out)["counts"]
    assert counts["genuine"] + counts["impostors"] == 633


def test_fewer_anchors_than_k_is_said(folder: Path) -> None:
    done = score(folder, "-a", folder / "anchors.h5", "-k", "99", "--far", "0.1")
    assert "holds 40 anchors, so k is 40, not 99" in done.err


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda f: (f / "pairs.csv").write_text("p000/0,p000/1,2\n"), ["label '2'", "1 or 0"]),
        (lambda f: (f / "pairs.csv").write_text(""), ["pairs.csv: is empty"]),
        (
            lambda f: (f / "pairs.csv").write_text("p000/0,p000/1,1\n"),
            ["pairs.csv: labels", "0 impostor"],
        ),
        (lambda f: (f / "pairs.csv").write_text("p000/0,p001/1,0\n"), ["0 genuine", "1 impostor"]),
        (lambda f: (f / "pairs.csv").unlink(), ["pairs.csv: no such file"]),
        (lambda f: (f / "emb.h5").write_text("text"), ["emb.h5: not an HDF5 file"]),
        (lambda f: (f / "emb.h5").write_bytes(b""), ["emb.h5: is empty"]),
        (
            lambda f: (f / "emb.h5").write_bytes((f / "emb.h5").read_bytes()[:3000]),
            ["emb.h5", "truncated"],
        ),
        (
            lambda f: write_embeddings(f / "anchors.h5", anchors(dim=8), force=True),
            ["anchors.h5", "dimension 8; expected 16"],
        ),
        (
            lambda f: write_embeddings(f / "anchors.h5", faces(), force=True),
            ["anchors.h5", "expected an anchor set", "build-anchors"],
        ),
        (
            lambda f: (f / "scores.csv").write_text("precious"),
            ["scores.csv: exists already", "--force"],
        ),
    ],
)
def test_bad_input_gets_one_message_and_no_output(
    folder: Path, change: object, parts: list[str]
) -> None:
    change(folder)  # type: ignore[operator]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    failed(score(folder, "-a", folder / "anchors.h5", "-o", folder / "scores.csv"), *parts)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_output_folder_that_is_not_there(folder: Path) -> None:
    failed(score(folder, "-o", folder / "no" / "scores.csv"), "does not exist", "mkdir -p")


@pytest.mark.parametrize(
    "options",
    [
        ("--json", "--csv"),
        ("-o", "-", "--json"),
        ("--all-pairs",),
        ("-k", "0"),
        ("-s", "0"),
        ("-s", "nan"),
        ("--combine", "mean"),
        ("-k", "3"),
        ("-s", "2"),
        ("--linear",),
        ("--combine", "product"),
        ("--no-such-option",),
    ],
)
def test_usage_errors_exit_with_2(folder: Path, options: tuple[str, ...]) -> None:
    done = score(folder, *options)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("far", ["x", "0", "1", "1e-4,1e-4", "-0.1"])
def test_false_accept_rates_out_of_range(folder: Path, far: str) -> None:
    done = score(folder, "--far", far)
    assert done.code == 2
    assert "--far" in done.err


def test_no_subjects_for_all_pairs(folder: Path) -> None:
    people = faces()
    write_embeddings(
        folder / "nameless.h5", Embeddings.from_arrays(people.vectors, people.ids), force=True
    )
    failed(damcli("score", "--all-pairs", "-e", folder / "nameless.h5"), "carries no subjects")


def test_a_scored_list_scored_again_keeps_no_old_scores(folder: Path) -> None:
    first, again = folder / "first.csv", folder / "again.csv"
    assert score(folder, "-a", folder / "anchors.h5", "-o", first).code == 0
    stale = [row.replace("p000,", "someone else,") for row in first.read_text().splitlines()]
    (folder / "stale.csv").write_text("\n".join(stale))
    done = score(folder, "-o", again, pairs="stale.csv")
    assert done.code == 0
    assert "probe_subject, reference_subject, cosine, score are left out" in done.err
    with again.open() as file:
        rows = list(csv.DictReader(file))
    assert "score" not in rows[0]
    assert rows[0]["probe_subject"] == "p000"


def test_rejects_are_named_after_the_whole_name_and_stay_with_their_scores(folder: Path) -> None:
    whole = (folder / "pairs.csv").read_text()
    (folder / "pairs.csv").write_text(whole + "p000/0,nobody,0\n")
    for name in ("a.v1.csv", "a.v2.csv.gz"):
        assert score(folder, "-o", folder / name, "--skip-missing").code == 0
    rejects = folder / "a.v1.rejects.csv"
    assert rejects.exists()
    assert (folder / "a.v2.rejects.csv").exists()
    done = score(folder, "--skip-missing", "--json")
    assert json.loads(done.out)["left_out"] == {"pairs": 1}
    (folder / "a.v3.rejects.csv").write_text("precious")
    failed(score(folder, "-o", folder / "a.v3.csv", "--skip-missing"), "a.v3.rejects.csv: exists")
    (folder / "pairs.csv").write_text(whole)
    assert score(folder, "-o", folder / "a.v1.csv", "--skip-missing", "--force").code == 0
    assert not rejects.exists()


def test_tables_of_a_list_without_labels_are_refused(folder: Path) -> None:
    (folder / "bare.csv").write_text("p000/0,p000/1\n")
    for option in ("--json", "--csv"):
        done = score(folder, "-o", folder / "s.csv", option, pairs="bare.csv")
        failed(done, "bare.csv: carries no labels", "-o FILE")
    assert not (folder / "s.csv").exists()


def test_eq_3_beyond_float64_is_refused(folder: Path) -> None:
    options = ("-a", folder / "anchors.h5", "--linear", "--combine", "product", "-s", "5000")
    failed(score(folder, *options, "-o", folder / "s.csv"), "beyond float64", "leave out --linear")
    assert not (folder / "s.csv").exists()


def test_a_full_temporary_folder_is_not_blamed_on_the_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("damcli.storage.spool._MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", full)
    failed(score(folder, "-o", folder / "s.csv"), tempfile.gettempdir(), "TMPDIR=FOLDER")


def test_a_printed_threshold_never_accepts_more_than_it_says(folder: Path) -> None:
    out = folder / "scores.csv"
    assert score(folder, "-a", folder / "anchors.h5", "-o", out).code == 0
    document = json.loads(damcli("evaluate", out, "--far", "0.01,0.1", "--json").out)
    table = damcli("evaluate", out, "--far", "0.01,0.1").out
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    for metric in document["metrics"]:
        for row in metric["rows"][:2]:
            printed = conservative_digits(row["threshold"], is_distance=False)
            assert printed in table
            impostors = [float(r[metric["name"]]) for r in rows if r["label"] == "0"]
            accepted = sum(score >= float(printed) for score in impostors)
            assert accepted <= row["false_accepts"]


@given(st.floats(-1e6, 1e6, allow_nan=False))
def test_thresholds_are_rounded_to_the_safe_side(threshold: float) -> None:
    assert float(conservative_digits(threshold, is_distance=False)) >= threshold
    assert float(conservative_digits(threshold, is_distance=True)) <= threshold
    near = pytest.approx(threshold, rel=2e-5)
    assert float(conservative_digits(threshold, is_distance=False)) == near
