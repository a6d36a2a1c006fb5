from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from damcli.storage.digests import file_digest
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.threshold import read_threshold
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

FAST = ("--resamples", "40", "--far", "1e-2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with development and test scores, and a threshold."""
    folder = tmp_path_factory.mktemp("gates")
    for name, seed in (("dev", 0), ("test", 5)):
        people = faces(16, 3, seed=seed, prefix=name)
        write_embeddings(folder / f"{name}.h5", people)
        write_pairs(folder / f"{name}_pairs.csv", people)
        write_pairs(folder / f"{name}_unlabelled.csv", people, labels=False)
    write_embeddings(folder / "anchors.h5", anchors())
    write_embeddings(folder / "others.h5", anchors(seed=9))
    for suffix in ("csv", "parquet", "csv.gz"):
        done = score(folder, "dev", "-o", folder / f"dev.{suffix}")
        assert done.code == 0, done.err
    assert score(folder, "test", "-o", folder / "test.csv").code == 0
    done = pick(folder, "dev.csv", folder / "t.json")
    assert done.code == 0, done.err
    assert pick(folder, "dev.csv", folder / "cosine.json", "--score", "cosine").code == 0
    return folder


def score(folder: Path, name: str, *options: object, with_anchors: str = "anchors.h5") -> Outcome:
    pairs = name if name.endswith(".csv") else f"{name}_pairs.csv"
    embeddings = folder / f"{name.split('_')[0]}.h5"
    anchor_set = ("-a", folder / with_anchors)
    return damcli("score", folder / pairs, "-e", embeddings, *anchor_set, *FAST, *options)


def pick(folder: Path, scores: str, target: Path, *options: object) -> Outcome:
    at = ("--threshold-at", "1e-2", "-o", target)
    return damcli("evaluate", folder / scores, *at, *FAST, *options)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_file_says_what_the_threshold_is_and_what_made_the_scores(made: Path) -> None:
    found = json.loads((made / "t.json").read_text())
    assert (found["schema"], found["schema_version"]) == ("damcli/threshold", 1)
    assert (found["score"], found["far"], found["distance"]) == ("score", 0.01, False)
    rows = table(made / "dev.csv")
    impostors = sorted((float(r["score"]) for r in rows if r["label"] == "0"), reverse=True)
    budget = len(impostors) // 100
    assert found["threshold"] == np.nextafter(impostors[budget], np.inf)
    low, high = found["threshold_interval"]
    assert low < found["threshold"] < high
    dev = found["development"]
    genuine = [float(r["score"]) for r in rows if r["label"] == "1"]
    assert dev["genuine"] == len(genuine)
    assert dev["impostors"] == len(impostors)
    assert dev["false_accepts"] == dev["allowed_false_accepts"] == budget
    assert dev["tar"] == sum(g >= found["threshold"] for g in genuine) / len(genuine)
    digest = file_digest(made / "anchors.h5")
    assert found["made_with"] == {
        **dict.fromkeys(
            ("model", "lidr", "calibration", "lid", "cohort_size", "beta", "nes_steps")
        ),
        **{"anchors": digest, "k": 10, "s": 1.0, "combine": "sum", "linear": False},
    }


@pytest.mark.parametrize("suffix", ["parquet", "csv.gz"])
def test_every_kind_of_scores_file_gives_the_same_threshold(
    made: Path, tmp_path: Path, suffix: str
) -> None:
    assert pick(made, f"dev.{suffix}", tmp_path / "t.json").code == 0
    one, other = read_threshold(made / "t.json"), read_threshold(tmp_path / "t.json")
    assert (one.threshold, one.made_with) == (other.threshold, other.made_with)
    assert one.threshold_interval == other.threshold_interval


def test_applying_it_adds_a_column_and_tells_what_was_promised(made: Path, tmp_path: Path) -> None:
    done = score(made, "test", "-o", tmp_path / "s.csv", "--threshold", made / "t.json", "--json")
    assert done.code == 0, done.err
    rows, limit = table(tmp_path / "s.csv"), read_threshold(made / "t.json").threshold
    assert all(row["accept"] == str(int(float(row["score"]) >= limit)) for row in rows)
    point = json.loads(done.out)["operating_point"]
    accepted = [row for row in rows if row["accept"] == "1"]
    found = point["decisions"]
    assert found["true_accepts"] == sum(row["label"] == "1" for row in accepted)
    assert found["false_accepts"] == sum(row["label"] == "0" for row in accepted)
    low, high = found["tar_interval"]
    assert low < found["tar"] < high
    assert (
        point["threshold"]["development"]["tar"] == read_threshold(made / "t.json").development.tar
    )
    again = damcli("evaluate", made / "test.csv", "--threshold", made / "t.json", *FAST, "--json")
    assert json.loads(again.out)["operating_point"]["decisions"] == found
    shown = damcli("evaluate", made / "test.csv", "--threshold", made / "t.json", *FAST)
    assert "development pairs" in shown.out
    assert "picked for FAR 1e-2" in shown.out


def test_unlabelled_pairs_are_decided_and_counted(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    done = score(made, "test_unlabelled.csv", "-o", out, "--threshold", made / "t.json")
    assert done.code == 0, done.err
    accept = pq.read_table(out)["accept"].to_pylist()
    labelled = score(made, "test", "-o", tmp_path / "l.csv", "--threshold", made / "t.json")
    assert labelled.code == 0
    assert accept == [int(row["accept"]) for row in table(tmp_path / "l.csv")]
    assert f"accepted {sum(accept)} of {len(accept):,} pairs" in done.err


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("-k", "5"), ["k 10; expected k 5"]),
        (("-s", "2"), ["s 1.0; expected s 2.0"]),
        (("--linear",), ["linear False; expected linear True"]),
        (("--combine", "product"), ["combine sum; expected combine product"]),
    ],
)
def test_a_threshold_of_other_settings_is_refused(
    made: Path, tmp_path: Path, options: tuple[str, ...], parts: list[str]
) -> None:
    out = tmp_path / "s.csv"
    done = score(made, "test", "-o", out, "--threshold", made / "t.json", *options)
    failed(done, "t.json: picked on scores with", *parts, "pick one with these files")
    assert list(tmp_path.iterdir()) == []


def test_a_threshold_of_other_anchors_is_refused_but_not_for_cosine(made: Path) -> None:
    done = score(made, "test", "--threshold", made / "t.json", with_anchors="others.h5")
    failed(done, "anchors", "…; expected anchors")
    done = score(made, "test", "--threshold", made / "cosine.json", with_anchors="others.h5")
    assert done.code == 0, done.err
    done = damcli("score", made / "test_pairs.csv", "-e", made / "test.h5", *FAST,
                  "--threshold", made / "t.json")  # fmt: skip
    failed(done, "picked on scores with anchors", "anchors (none)")


def test_a_threshold_of_another_model_is_refused(made: Path, tmp_path: Path) -> None:
    for name, model in (("dev", "1" * 64), ("test", "2" * 64)):
        people = faces(16, 3, prefix=name)
        write_embeddings(
            tmp_path / f"{name}.h5",
            Embeddings.from_arrays(
                people.vectors, people.ids, people.subjects, attributes={"model_sha256": model}
            ),
        )
        write_pairs(tmp_path / f"{name}_pairs.csv", people)
    plain = ("score", tmp_path / "dev_pairs.csv", "-e", tmp_path / "dev.h5", *FAST)
    assert damcli(*plain, "-o", tmp_path / "dev.csv").code == 0
    assert pick(tmp_path, "dev.csv", tmp_path / "t.json").code == 0
    same = damcli(*plain, "--threshold", tmp_path / "t.json")
    assert same.code == 0
    assert "warning" not in same.err
    other = ("score", tmp_path / "test_pairs.csv", "-e", tmp_path / "test.h5", *FAST)
    failed(
        damcli(*other, "--threshold", tmp_path / "t.json"),
        "model 111111111111…; expected model 2222",
    )
    known = score(made, "test", "--threshold", tmp_path / "t.json")
    assert "the model is not known on both sides" in known.err


def test_scores_of_unknown_origin(made: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.csv"
    alone.write_bytes((made / "dev.csv").read_bytes())
    done = pick(tmp_path, "alone.csv", tmp_path / "t.json")
    assert done.code == 0
    assert "made with is not known" in done.err
    assert read_threshold(tmp_path / "t.json").made_with is None
    failed(score(made, "test", "--threshold", tmp_path / "t.json"), "unknown origin", "hint:")
    done = damcli("evaluate", made / "test.csv", "--threshold", tmp_path / "t.json", *FAST)
    assert done.code == 0
    assert "warning: it is not known what made" in done.err


def test_a_record_of_other_content_is_refused(made: Path, tmp_path: Path) -> None:
    for name in ("dev.csv", "dev.csv.about.json"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    with (tmp_path / "dev.csv").open("a") as file:
        file.write("a,b,p,q,0,0.1,0.1\n")
    failed(
        pick(tmp_path, "dev.csv", tmp_path / "t.json"), "dev.csv.about.json", "was changed since"
    )
    (tmp_path / "dev.csv.about.json").write_text("{}")
    failed(pick(tmp_path, "dev.csv", tmp_path / "t.json"), "not a readable record of scores")
    assert not (tmp_path / "t.json").exists()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (None, "no such file"),
        ("", "not a readable threshold"),
        ("[]", "not a threshold of damcli"),
        ({"schema": "x"}, "not a threshold of damcli"),
        ({"schema_version": 2}, "schema_version 2; expected 1"),
        ({"threshold": "high"}, "threshold is 'high'; expected a finite number"),
        ({"threshold": float("nan")}, "expected a finite number"),
        ({"far": 2}, "far is 2.0; expected a fraction"),
        ({"distance": 0}, "distance is 0; expected bool"),
        ({"threshold_interval": [1]}, "expected two numbers"),
        ({"development": {}}, "scores_sha256 is missing"),
        ({"made_with": {"k": "ten"}}, "invalid literal"),
        ({"score": "quality"}, "a threshold on 'quality'; expected one on cosine or score"),
        ({"distance": True}, "picked on distances; expected similarities"),
    ],
)
def test_a_bad_threshold_file(made: Path, tmp_path: Path, change: object, part: str) -> None:
    path = tmp_path / "bad.json"
    if isinstance(change, str):
        path.write_text(change)
    elif isinstance(change, dict):
        path.write_text(json.dumps({**json.loads((made / "t.json").read_text()), **change}))
    out = tmp_path / "s.csv"
    failed(score(made, "test", "-o", out, "--threshold", path), "bad.json: ", part)
    failed(damcli("evaluate", made / "test.csv", "--threshold", path, *FAST), "bad.json: ", part)
    assert not out.exists()


def test_a_threshold_on_distances(made: Path, tmp_path: Path) -> None:
    rows = table(made / "dev.csv")
    for row in rows:
        row["far_off"] = repr(-float(row["score"]))
    save(tmp_path / "d.csv", rows)
    options = ("--score", "far_off", "--distance")
    done = pick(tmp_path, "d.csv", tmp_path / "t.json", *options, "--require", "TAR@1e-2 > 0")
    assert done.code == 0, done.err
    one, other = read_threshold(made / "t.json"), read_threshold(tmp_path / "t.json")
    assert other.distance
    assert other.threshold == -one.threshold
    assert other.threshold_interval == tuple(-end for end in reversed(one.threshold_interval))
    assert other.development.tar == one.development.tar
    again = damcli("evaluate", tmp_path / "d.csv", *options, "--threshold", tmp_path / "t.json",
                   *FAST, "--json")  # fmt: skip
    found = json.loads(again.out)["operating_point"]["decisions"]
    assert found["true_accepts"] == one.development.true_accepts
    failed(
        damcli("evaluate", tmp_path / "d.csv", "--score", "far_off", "--threshold",
               tmp_path / "t.json"),
        "picked on distances; expected similarities", "--distance",
    )  # fmt: skip


def test_too_few_impostors_for_a_threshold(made: Path, tmp_path: Path) -> None:
    at = ("--threshold-at", "1e-6", "-o", tmp_path / "t.json")
    failed(
        damcli("evaluate", made / "dev.csv", *at, *FAST),
        "allow no false accept at FAR 1e-06; expected at least 1,000,000",
    )
    few = damcli("evaluate", made / "dev.csv", "--threshold-at", "1e-3", *at[2:], *FAST)
    assert few.code == 0
    assert "FAR 0.001 allows 1 false accepts" in few.err
    failed(pick(made, "dev.csv", tmp_path / "t.json"), "t.json: exists already")


def test_a_failed_gate_exits_with_1_and_one_line_each(made: Path, tmp_path: Path) -> None:
    wanted = ("TAR@1e-2 >= 100%", "cosine:AUC > 0.9", "TAR@1e-6 < 1", "EER <= 0.0001")
    gates = [part for text in wanted for part in ("--require", text)]
    done = damcli("evaluate", made / "dev.csv", *gates, *FAST, "--json")
    assert done.code == 1
    lines = [line for line in done.err.splitlines() if line.startswith("failed:")]
    assert len(lines) == 3
    assert lines[0].startswith("failed: TAR@1e-2 >= 100% (score): TAR is ")
    assert lines[1].endswith("cannot be measured, needs ≥ 1,000,000 impostor pairs")
    gated = json.loads(done.out)["gates"]
    assert [one["passed"] for one in gated] == [False, True, False, False]
    assert [one["score"] for one in gated] == ["score", "cosine", "score", "score"]
    assert gated[2]["value"] is None
    target = tmp_path / "t.json"
    assert pick(made, "dev.csv", target, "--require", "EER <= 0.0001").code == 1
    assert not target.exists()
    assert pick(made, "dev.csv", target, "--require", "EER <= 1").code == 0


def test_rates_at_a_given_threshold_can_be_required(made: Path) -> None:
    given = ("evaluate", made / "test.csv", "--threshold", made / "t.json", *FAST)
    assert damcli(*given, "--require", "FAR <= 0.5", "--require", "TAR>0").code == 0
    done = damcli(*given, "--require", "FAR <= 0")
    assert done.code == 1
    assert "failed: FAR <= 0 (score): FAR is" in done.err
    failed(damcli("evaluate", made / "test.csv", "--require", "FAR <= 0.5"), "at a given threshold")
    failed(damcli(*given, "--require", "cosine:FAR <= 0.5"), "is on 'cosine'; expected score")
    failed(damcli(*given, "--require", "llr:EER <= 0.5"), "is on 'llr'; expected cosine or score")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--require", "TAR@1e-4 => 1"), "TAR@1e-4 >= 0.95"),
        (("--not-worse",), "--baseline"),
        (("--not-worse", "--baseline", "x.csv", "--resamples", "0"), "--resamples"),
        (("--threshold-at", "1e-2"), "-o FILE"),
        (("-o", "t.json"), "--threshold-at"),
        (("--threshold-at", "1e-2", "-o", "t.json", "--threshold", "t.json"), "give one"),
        (("--baseline", "-"), "stdin"),
    ],
)
def test_usage_errors_exit_with_2(made: Path, options: tuple[str, ...], part: str) -> None:
    scores = "-" if options == ("--baseline", "-") else made / "dev.csv"
    done = damcli("evaluate", scores, *options)
    assert done.code == 2, done.err
    assert part in done.err


def test_the_same_scores_are_not_worse_in_any_order(made: Path, tmp_path: Path) -> None:
    rows = table(made / "dev.csv")
    random.Random(1).shuffle(rows)
    rows = [{"same": row.pop("label"), **row} for row in rows]
    save(tmp_path / "dev.csv", rows)
    documents = []
    for old in (made / "dev.csv", tmp_path / "dev.csv"):
        done = damcli(
            "evaluate", made / "dev.csv", "--baseline", old, "--not-worse", *FAST, "--json"
        )
        assert done.code == 0, done.err
        documents.append(json.loads(done.out))
    assert documents[0]["metrics"] == documents[1]["metrics"]
    assert documents[0]["metrics"][0]["name"] == "score (dev.csv)"
    assert {row["difference"] for row in documents[0]["metrics"][2]["rows"]} == {0}


def test_worse_scores_fail(made: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = table(made / "dev.csv")
    for row in rows:
        row["score"] = repr(float(row["score"]) + rng.normal())
    bad = save(tmp_path / "bad.csv", rows)
    done = damcli("evaluate", bad, "--baseline", made / "dev.csv", "--not-worse", *FAST)
    assert done.code == 1
    assert "failed: not worse (score): TAR@1e-2 differs from the baseline's by -" in done.err
    back = damcli("evaluate", made / "dev.csv", "--baseline", bad, "--not-worse", *FAST)
    assert back.code == 0
    assert "passed: not worse (score)" in back.err


def test_lists_of_other_pairs_are_refused(made: Path, tmp_path: Path) -> None:
    rows = table(made / "dev.csv")

    def compare(changed: list[dict[str, str]], *parts: str) -> None:
        old = save(tmp_path / "old.csv", changed)
        failed(damcli("evaluate", made / "dev.csv", "--baseline", old, *FAST), "old.csv", *parts)

    first = f"'{rows[0]['probe_id']}', '{rows[0]['reference_id']}' for one"
    compare(rows[1:], "lacks 1 pairs", "has 0 others", first)
    compare([*rows, rows[0]], "lacks 0 pairs", "has 1 others", first)
    compare([{**rows[0], "probe_id": "stranger"}, *rows[1:]], "lacks 1 pairs", "has 1 others")
    other = "0" if rows[3]["label"] == "1" else "1"
    compare([*rows[:3], {**rows[3], "label": other}, *rows[4:]], f"label {other} of the pair")
    compare([{k: v for k, v in row.items() if k != "probe_id"} for row in rows], "probe_id")
    compare([{k: v for k, v in row.items() if k != "score"} for row in rows], "a column 'score'")


def test_a_gate_in_a_pipeline(made: Path) -> None:
    command = f"{sys.executable} -m damcli evaluate {made / 'dev.csv'} --resamples 0 -q --require"
    for requirement, printed in (('"AUC >= 0"', "ok"), ('"AUC >= 1"', "")):
        done = subprocess.run(
            ["sh", "-c", f"{command} {requirement} >/dev/null && echo ok"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.strip() == printed
        assert ("failed:" in done.stderr) == (printed == "")
