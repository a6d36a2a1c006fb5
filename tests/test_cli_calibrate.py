from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lidr import write_lidr
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.lidrs import lidr
from tests.test_scoring import write_pairs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrate")
    write_embeddings(folder / "dev.h5", faces(30, 4, noise=1.0, prefix="dev"))
    write_embeddings(folder / "test.h5", faces(14, 3, noise=1.0, seed=3))
    write_embeddings(folder / "anchors.h5", anchors())
    write_pairs(folder / "test.csv", faces(14, 3, noise=1.0, seed=3))
    write_pairs(folder / "unlabelled.csv", faces(14, 3, noise=1.0, seed=3), labels=False)
    write_pairs(folder / "dev.csv", faces(30, 4, noise=1.0, prefix="dev"))
    done = calibrate(folder, "-o", folder / "calibration.json")
    assert done.code == 0, done.err
    return folder


def calibrate(folder: Path, *options: object) -> Outcome:
    return damcli(
        *("calibrate", "--all-pairs", "-e", folder / "dev.h5", "-a", folder / "anchors.h5"),
        *("--resamples", "100", "--far", "1e-2,0.1", *options),
    )


def score(folder: Path, *options: object, pairs: str = "test.csv") -> Outcome:
    return damcli(
        *("score", folder / pairs, "-e", folder / "test.h5", "-a", folder / "anchors.h5"),
        *("--calibration", folder / "calibration.json", "--far", "0.1", "--resamples", "50"),
        *options,
    )


def test_table_and_json_agree_and_the_file_says_how_it_was_made(made: Path, tmp_path: Path) -> None:
    table = calibrate(made, "-o", tmp_path / "1.json")
    document = calibrate(made, "-o", tmp_path / "2.json", "--json", "--quiet")
    found = json.loads(document.out)
    assert found["schema"] == "damcli/calibrate"
    assert set(found["inputs"]) == {"embeddings", "anchors"}
    expected = found["expected"]
    assert expected["verdict"] in table.out
    assert f"form: {found['form']}" in table.out
    assert f"Cllr {expected['held_out_llr']['cllr']:.4f} bits" in table.out
    for row in expected["rows"]:
        for value in row["values"]:
            assert f"{100 * value:.2f} %" in table.out
    rare = calibrate(made, "-o", tmp_path / "3.json", "--far", "1e-6")
    assert "n/a" in rare.out
    assert "needs ≥ 1,000,000 impostor pairs" in rare.out
    assert [row["far"] for row in expected["rows"]] == [0.01, 0.1, None]
    written = json.loads((tmp_path / "2.json").read_text())
    assert written["coefficients"] == found["coefficients"]
    assert written["counts"] == found["counts"]
    assert written["about"]["command"].startswith("damcli calibrate --all-pairs")
    assert written["lid"]["sha256"] == found["inputs"]["anchors"]
    assert "warning: few development pairs" in document.err


def test_llr_and_probability_columns(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    done = score(made, "-o", out, "--probability", "--prior", "0.01")
    assert done.code == 0, done.err
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert list(rows[0])[-4:] == ["cosine", "score", "llr", "probability"]
    llr = np.array([float(row["llr"]) for row in rows])
    odds = 0.01 / 0.99 * np.exp(llr)
    probability = [float(row["probability"]) for row in rows]
    assert probability == pytest.approx(list(odds / (1 + odds)))


def test_scores_of_labelled_pairs_are_judged(made: Path) -> None:
    table = score(made, "--prior", "0.2")
    found = json.loads(score(made, "--prior", "0.2", "--json").out)
    assert [metric["name"] for metric in found["metrics"]] == ["cosine", "DAM-R", "calibrated"]
    assert found["settings"]["prior"] == found["llr"]["prior"] == 0.2
    assert len(found["inputs"]["calibration"]) == 64
    quality = found["llr"]
    assert f"Cllr {quality['cllr']:.4f} bits" in table.out
    assert f"ECE {100 * quality['ece']:.2f} % at prior 0.2" in table.out
    assert sum(one["genuine"] for one in quality["bins"]) == found["counts"]["genuine"]
    assert 0 < quality["min_cllr"] <= quality["cllr"] < 1


def test_unlabelled_pairs_get_an_llr(made: Path) -> None:
    done = score(made, pairs="unlabelled.csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == [
        *("probe_id", "reference_id", "probe_subject", "reference_subject"),
        *("cosine", "score", "llr"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        ("--probability",),
        ("--probability", "--prior", "0.5"),  # with nowhere to write it
        ("--prior", "0"),
        ("--prior", "nan"),
    ],
)
def test_usage_errors_of_score(made: Path, options: tuple[str, ...]) -> None:
    assert score(made, *options).code == 2


def test_a_prior_needs_a_calibration(made: Path) -> None:
    done = damcli("score", made / "test.csv", "-e", made / "test.h5", "--prior", "0.5")
    assert done.code == 2
    assert "--calibration" in done.err


@pytest.mark.parametrize("options", [("-k", "3"), ("-s", "2"), ("--combine", "product")])
def test_other_settings_are_refused(made: Path, options: tuple[str, ...]) -> None:
    failed(score(made, *options), "calibration.json: made with", "hint: score as")


def test_other_anchors_are_refused(made: Path, tmp_path: Path) -> None:
    write_embeddings(tmp_path / "others.h5", anchors(seed=9))
    done = score(made, "-a", tmp_path / "others.h5")
    failed(done, "made with anchors of SHA-256", "others.h5")


@pytest.mark.parametrize(
    ("options", "code", "part"),
    [
        (("--prior", "1"), 2, "--prior"),
        (("--folds", "2"), 2, "--folds"),
        (("--lidr", "x.h5"), 2, "either --anchors or --lidr"),
        (("--folds", "20"), 1, "genuine pairs of 30 subjects; expected at least 40"),
        (("--far", "2"), 2, "FAR 2"),
    ],
)
def test_bad_options_write_nothing(
    made: Path, tmp_path: Path, options: tuple[str, ...], code: int, part: str
) -> None:
    done = calibrate(made, "-o", tmp_path / "c.json", *options)
    assert done.code == code
    assert part in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_lids_from_a_regressor(made: Path, tmp_path: Path) -> None:
    write_lidr(tmp_path / "lidr.h5", lidr())
    lids = ("--lidr", tmp_path / "lidr.h5", "--resamples", "100", "--far", "0.1")
    calibration = tmp_path / "c.json"
    done = damcli("calibrate", made / "dev.csv", "-e", made / "dev.h5", "-o", calibration, *lids)
    assert done.code == 0, done.err
    assert "DAM-L" in done.out
    assert json.loads(calibration.read_text())["lid"]["source"] == "lidr"
    scored = ("score", made / "test.csv", "-e", made / "test.h5", "--calibration", calibration)
    assert "calibrated" in damcli(*scored, *lids).out
    failed(damcli(*scored, "-a", made / "anchors.h5"), "made with LIDs from lidr; found anchors")


def test_an_existing_file_stands(made: Path) -> None:
    before = (made / "calibration.json").read_bytes()
    failed(calibrate(made, "-o", made / "calibration.json"), "exists already", "--force")
    assert (made / "calibration.json").read_bytes() == before


def test_missing_pairs_are_counted_and_named(made: Path, tmp_path: Path) -> None:
    listed = (made / "dev.csv").read_text() + "dev000/0,nobody,0\n"
    (tmp_path / "dev.csv").write_text(listed)
    options = ("-e", made / "dev.h5", "-a", made / "anchors.h5", "--resamples", "100")
    options += ("-o", tmp_path / "c.json", "--far", "0.1")
    failed(damcli("calibrate", tmp_path / "dev.csv", *options), "'nobody' has no embedding")
    done = damcli("calibrate", tmp_path / "dev.csv", *options, "--skip-missing")
    assert done.code == 0, done.err
    assert "1 pairs left out for want of an embedding: 'nobody'" in done.err


def test_a_threshold_on_llr_belongs_to_its_calibration(made: Path, tmp_path: Path) -> None:
    scores, threshold = tmp_path / "scores.csv", tmp_path / "threshold.json"
    assert score(made, "-o", scores).code == 0
    at = ("--score", "llr", "--threshold-at", "0.1", "-o", threshold, "--resamples", "20")
    picked = damcli("evaluate", scores, *at)
    assert picked.code == 0, picked.err
    out = tmp_path / "decided.csv"
    assert score(made, "--threshold", threshold, "-o", out).code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    limit = json.loads(threshold.read_text())["threshold"]
    assert [row["accept"] for row in rows] == [str(int(float(r["llr"]) >= limit)) for r in rows]
    changed = json.loads((made / "calibration.json").read_text())
    changed["coefficients"]["constant"] += 1
    (tmp_path / "other.json").write_text(json.dumps(changed))
    other = score(made, "--threshold", threshold, "--calibration", tmp_path / "other.json")
    failed(other, "threshold.json", "calibration")
