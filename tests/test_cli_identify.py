from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import damcli as library
from damcli.protocols import ijb_search
from damcli.protocols.ijb_search import SearchCounts
from damcli.storage.embeddings import MODEL_DIGEST, POOLED, Embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lidr import write_lidr
from tests import official
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.lidrs import lidr
from tests.test_identify import split

QUICK = ("--resamples", "20", "--fpir", "0.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    probes, entries = split()
    write_embeddings(tmp_path / "p.h5", probes)
    write_embeddings(tmp_path / "g.h5", entries)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_lidr(tmp_path / "lidr.h5", lidr())
    return tmp_path


def identify(folder: Path, *options: object) -> Outcome:
    return damcli("identify", folder / "p.h5", folder / "g.h5", *options)


def dam(folder: Path) -> tuple[object, ...]:
    return ("-a", folder / "anchors.h5", *QUICK)


def test_table_json_and_csv_agree(folder: Path) -> None:
    shown, document, listed = (
        identify(folder, *dam(folder), *more) for more in ((), ("--json",), ("--csv",))
    )
    assert shown.code == document.code == listed.code == 0, shown.err
    found = json.loads(document.out)
    assert (found["schema"], found["command"]) == ("damcli/identification", "identify")
    assert set(found["inputs"]) == {"embeddings", "gallery", "anchors"}
    digest = hashlib.sha256((folder / "g.h5").read_bytes()).hexdigest()
    assert found["inputs"]["gallery"] == digest
    assert found["settings"] == {"k": 10, "s": 1.0}
    assert found["galleries"][0] == {
        "origin": str(folder / "g.h5"),
        **{"subjects": 20, "entries": 40, "mated": 40, "non_mated": 40},
        **{"same_id": 0, "compared_with_all": 0},
    }
    metrics = {metric["name"]: metric["rows"] for metric in found["metrics"]}
    assert tuple(metrics) == ("cosine", "DAM-R", "DAM-R product")
    rows = list(csv.DictReader(io.StringIO(listed.out)))
    assert len(rows) == 3 * 4
    for row in rows:
        (same,) = [
            one
            for one in metrics[row["metric"]]
            if (one["quantity"], str(one["rank"])) == (row["quantity"], row["rank"])
        ]
        assert row["value"] == str(same["value"])
        assert f"{100 * same['value']:.2f} % [{100 * same['low']:.2f}" in shown.out
    assert "40 mated and 40 non-mated probes in a gallery of 20 subjects (40 entries)" in shown.out
    assert "4 / 4" in shown.out
    assert found["metrics"][0]["by_gallery"][0][0]["tpir"] == metrics["cosine"][-1]["value"]


def test_the_command_is_the_library(folder: Path) -> None:
    options = (
        *("--lidr", folder / "lidr.h5", "--ranks", "2,7", "--fpir", "0.2,0.05", "--seed", "3"),
        *("--within-rank", "3", "--resamples", "25", "--json"),
    )
    done = json.loads(identify(folder, *options).out)
    expected = library.identify(
        *split(),
        lidr=lidr(),
        **{"ranks": [2, 7], "fpirs": [0.2, 0.05], "within": 3, "resamples": 25, "seed": 3},
    )
    for mine, theirs in zip(done["metrics"], expected.metrics, strict=True):
        assert mine["name"] == theirs.name
        told = [(row["value"], row["low"], row["difference_high"]) for row in mine["rows"]]
        assert told == [
            (
                one.value,
                one.interval.low,
                None if one.difference is None else one.difference_interval.high,
            )
            for one in (*theirs.cmc, *theirs.tpirs)
        ]


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_candidate_lists(folder: Path, combine: str) -> None:
    out = folder / "candidates.csv"
    done = identify(folder, *dam(folder), "--ranks", "1,4", "--combine", combine, "-o", out)
    assert done.code == 0, done.err
    assert "wrote 320 candidates" in done.err
    table = pd.read_csv(out, dtype={"subject": str})
    assert list(table) == ["probe_id", "rank", "reference_id", "subject", "cosine", "score"]
    probes, entries = split()
    scorer = library.score(
        library.all_pairs(probes, entries), probes, anchors(), gallery=entries, combine=combine
    ).scorer
    cosine, score = scorer.block(slice(0, len(probes)), slice(0, len(entries)))
    for row, probe in enumerate(probes.ids):
        people = pd.DataFrame({"subject": entries.subjects, "id": entries.ids, "score": score[row]})
        best = people.sort_values("score", ascending=False).drop_duplicates("subject")[:4]
        mine = table[table["probe_id"] == probe]
        assert list(mine["rank"]) == [1, 2, 3, 4]
        assert list(mine["reference_id"]) == list(best["id"])
        assert list(mine["subject"]) == list(best["subject"])
        assert list(mine["score"]) == pytest.approx(list(best["score"]))
        places = entries.rows_of(np.array(mine["reference_id"], dtype=object))
        assert list(mine["cosine"]) == pytest.approx(list(cosine[row, places]))
    about = json.loads((folder / "candidates.csv.about.json").read_text())["about"]
    assert about["combine"] == combine
    assert about["gallery"] == hashlib.sha256((folder / "g.h5").read_bytes()).hexdigest()


def test_cosine_alone_and_parquet(folder: Path) -> None:
    done = identify(folder, *QUICK, "-o", folder / "c.parquet")
    assert done.code == 0, done.err
    assert list(pd.read_parquet(folder / "c.parquet")) == [
        *("probe_id", "rank", "reference_id", "subject", "cosine")
    ]
    assert "Δ" not in done.out


def test_several_galleries(folder: Path) -> None:
    _, entries = split()
    write_embeddings(folder / "one.h5", entries.take(np.arange(0, 20)))
    write_embeddings(folder / "two.h5", entries.take(np.arange(20, 40)))
    sides = (folder / "p.h5", folder / "one.h5", folder / "two.h5")
    done = damcli("identify", *sides, *dam(folder), "-o", folder / "c.csv")
    assert done.code == 0, done.err
    assert done.out.count("20 mated and 60 non-mated probes") == 2
    assert "rates are means over the 2 galleries" in done.out
    assert "threshold  " not in done.out
    table = pd.read_csv(folder / "c.csv")
    assert set(table["gallery"]) == {str(folder / "one.h5"), str(folder / "two.h5")}
    document = json.loads(damcli("identify", *sides, *dam(folder), "--json").out)
    assert {"gallery (1)", "gallery (2)"} < set(document["inputs"])
    for metric in document["metrics"]:
        told = [points[0]["tpir"] for points in metric["by_gallery"]]
        assert metric["rows"][-1]["value"] == pytest.approx(np.mean(told))


def test_the_same_file_twice_is_leave_one_out(folder: Path) -> None:
    done = damcli("identify", folder / "p.h5", folder / "p.h5", *QUICK, "-o", folder / "c.csv")
    assert done.code == 0, done.err
    assert "leave-one-out" in done.err
    assert "80 probes in" in done.err
    assert "holds the subjects of all probes: no open-set rates" in done.err
    assert "n/a (needs ≥ 10 non-mated probes)" in done.out
    table = pd.read_csv(folder / "c.csv")
    assert (table["probe_id"] != table["reference_id"]).all()


def test_nothing_is_replaced_unasked(folder: Path) -> None:
    out = folder / "c.csv"
    out.write_text("mine")
    failed(identify(folder, *dam(folder), "-o", out), "c.csv", "--force")
    assert out.read_text() == "mine"
    assert identify(folder, *dam(folder), "-o", out, "--force", "--quiet").err == ""
    assert out.read_text().startswith("probe_id,rank")


def test_a_search_that_fails_leaves_no_file(folder: Path) -> None:
    write_embeddings(folder / "g.h5", faces(5, 2, prefix="other"), force=True)
    out = folder / "c.csv"
    done = identify(folder, *QUICK, "-o", out)
    failed(done, "g.h5: holds none of the people that the 80 probes of", "hint:")
    assert not out.exists()


def test_files_that_do_not_belong_together(folder: Path) -> None:
    probes, entries = split()
    write_embeddings(folder / "g.h5", replace(entries, subjects=None), force=True)
    failed(identify(folder, *QUICK), "g.h5: carries no subjects, so nobody knows whom")
    made = {MODEL_DIGEST: "a" * 64}
    write_embeddings(folder / "p.h5", replace(probes, attributes=made), force=True)
    other = replace(entries, attributes={MODEL_DIGEST: "b" * 64})
    write_embeddings(folder / "g.h5", other, force=True)
    failed(identify(folder, *QUICK), "g.h5: made with model bbbbbbbbbbbb", "--allow-mixed-models")
    assert identify(folder, *QUICK, "--allow-mixed-models").code == 0
    write_embeddings(folder / "g.h5", entries, force=True)
    own = library.Anchors.of(entries, kind="real-db")
    write_embeddings(folder / "anchors.h5", own, force=True)
    failed(identify(folder, *dam(folder)), "20 subjects stand among the anchors")
    assert identify(folder, *dam(folder), "--allow-overlap").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give probes and a gallery, or --protocol"),
        (("p.h5",), "give probes and a gallery"),
        (("p.h5", "g.h5", "g.h5"), "a gallery is given twice"),
        (("p.h5", "g.h5", "--root", "."), "--root goes with --protocol"),
        (("p.h5", "g.h5", "-e", "p.h5"), "--embeddings goes with --protocol"),
        (("p.h5", "g.h5", "--skip-missing"), "--skip-missing goes with --protocol"),
        (("--protocol", "lfw"), "--protocol lfw: expected one of ijbb, ijbc"),
        (("--protocol", "ijbc", "--root", "."), "needs --root DIR and --embeddings FILE"),
        (("p.h5", "g.h5", "--protocol", "ijbc"), "give either probes and a gallery, or --protocol"),
        (("p.h5", "g.h5", "--ranks", "1,x"), "--ranks 1,x: expected numbers"),
        (("p.h5", "g.h5", "--ranks", "1.5"), "--ranks 1.5: expected whole numbers from 1 on"),
        (("p.h5", "g.h5", "--ranks", "0"), "rank 0: expected a whole number from 1 on"),
        (("p.h5", "g.h5", "--fpir", "2"), "FPIR 2: expected a fraction between 0 and 1"),
        (("p.h5", "g.h5", "--json", "--csv"), "--json and --csv exclude each other"),
        (("p.h5", "g.h5", "-k", "3"), "-k is about DAM"),
        (("p.h5", "g.h5", "-a", "anchors.h5", "--combine", "product"), "with -o"),
        (("p.h5", "g.h5", "-a", "anchors.h5", "--lidr", "lidr.h5"), "exclude each other"),
    ],
)
def test_usage(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, message: str
) -> None:
    monkeypatch.chdir(folder)
    done = damcli("identify", *arguments)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())


@pytest.fixture
def ijbc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write small 1:N lists and pooled templates of theirs, among others."""
    counts = SearchCounts(24, {"G1": 6, "G2": 6})
    monkeypatch.setitem(ijb_search.SEARCHES, "ijbc", counts)
    official.search_lists(tmp_path)
    rng = np.random.default_rng(1)
    people = rng.normal(size=(12, 16))
    numbers = [*range(24), *range(100, 112), 7000]
    vectors = [people[(n if n < 100 else n - 100) % 12] for n in numbers]
    noisy = np.stack(vectors) + 0.9 * rng.normal(size=(len(vectors), 16))
    made = Embeddings.from_arrays(noisy, [str(n) for n in numbers], attributes={POOLED: "sum"})
    write_embeddings(tmp_path / "templates.h5", made)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    return tmp_path


def search_ijbc(root: Path, *options: object) -> Outcome:
    return damcli(
        *("identify", "--protocol", "ijbc", "--root", root, "-e", root / "templates.h5"),
        *("-a", root / "anchors.h5", *QUICK, *options),
    )


def test_ijbc(ijbc: Path) -> None:
    done = search_ijbc(ijbc, "--json")
    assert done.code == 0, done.err
    assert "warning" not in done.err
    found = json.loads(done.out)
    assert found["settings"]["protocol"] == "ijbc"
    assert {"probe_list", "gallery_list (1)", "gallery_list (2)"} < set(found["inputs"])
    for gallery in found["galleries"]:
        assert (gallery["subjects"], gallery["entries"]) == (6, 6)
        assert (gallery["mated"], gallery["non_mated"]) == (12, 12)
    # The same by hand: two galleries of own files.
    templates = library.read_embeddings(ijbc / "templates.h5")
    rows = np.arange(24)
    people = np.array([str(3 * (row % 12) + 1) for row in rows], dtype=object)
    probes = replace(templates.take(rows), subjects=people)
    galleries = [
        replace(templates.take(24 + np.arange(which, 12, 2)), subjects=people[which:12:2])
        for which in (0, 1)
    ]
    expected = library.identify(probes, galleries, anchors(), fpirs=[0.1], resamples=20)
    for mine, theirs in zip(found["metrics"], expected.metrics, strict=True):
        told = [row["value"] for row in mine["rows"]]
        assert told == [one.value for one in (*theirs.cmc, *theirs.tpirs)]


def test_templates_that_are_missing(ijbc: Path) -> None:
    templates = library.read_embeddings(ijbc / "templates.h5")
    keep = np.array([row for row in range(len(templates)) if row not in (3, 4, 30)])
    write_embeddings(ijbc / "templates.h5", templates.take(keep), force=True)
    said = "2 of 24 templates have no embedding in"
    failed(search_ijbc(ijbc), "ijbc_1N_probe_mixed.csv: ", said, "'3', '4'", "--skip-missing")
    done = search_ijbc(ijbc, "--skip-missing", "--json")
    assert said in done.err
    assert "1 of 6 templates have no embedding" in done.err
    assert json.loads(done.out)["left_out"] == {"templates": 3}
    images = Embeddings.from_arrays(templates.vectors, [f"img/{i}.jpg" for i in range(37)])
    write_embeddings(ijbc / "templates.h5", images, force=True)
    failed(search_ijbc(ijbc, "--skip-missing"), "24 of 24", "damcli pool emb.h5 --templates")


def rewrite(root: Path, name: str, old: str, new: str) -> None:
    path = root / "meta" / name
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())


PROBES, FIRST, SECOND = (
    *("ijbc_1N_probe_mixed.csv", "ijbc_1N_gallery_G1.csv", "ijbc_1N_gallery_G2.csv"),
)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (PROBES, "TEMPLATE_ID", "TEMPLATE", "row 1: no column TEMPLATE_ID; expected a header"),
        (PROBES, "\r\n0,1,", "\r\nzero,1,", "row 2: TEMPLATE_ID 'zero'; expected a whole number"),
        (PROBES, "\r\n1,4,", "\r\n1,,", "row 4: SUBJECT_ID ''; expected a whole number"),
        (PROBES, "\r\n0,1,img/01", "\r\n0,4,img/01", "row 3: subject 4 for template 0, which"),
        (PROBES, "\r\n1,4,", "\r\n0,1,", "23 templates; expected 24, as the protocol has"),
        (PROBES, "\r\n1,4,", "\r\n1,999,", "template 1 shows subject 999, whom no gallery holds"),
        (
            SECOND,
            ",4,",
            ",1,",
            "ijbc_1N_gallery_G2.csv: holds subject 1, as does ijbc_1N_gallery_G",
        ),
        (FIRST, "\r\n110,31,img/1101", "\r\n110,31", "row 13: 7 columns"),
    ],
)
def test_damaged_lists(ijbc: Path, name: str, old: str, new: str, message: str) -> None:
    rewrite(ijbc, name, old, new)
    failed(search_ijbc(ijbc), message, "hint:")


def test_lists_that_are_not_there(ijbc: Path) -> None:
    (ijbc / "meta" / SECOND).unlink()
    failed(search_ijbc(ijbc), SECOND, "no such file")
    (ijbc / "meta" / PROBES).unlink()
    failed(search_ijbc(ijbc), "holds no 1:N probes of ijbc; looked for ijbc_1N_probe_mixed.csv")


def test_official_counts_are_asked_for(ijbc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    failed(search_ijbc(ijbc), "24 templates; expected 19,593, as the protocol has")


def test_the_list_of_probes_itself_will_do(ijbc: Path) -> None:
    plain = search_ijbc(ijbc, "--json")
    moved = damcli(
        *("identify", "--protocol", "ijbc", "--root", ijbc / "meta" / PROBES),
        *("-e", ijbc / "templates.h5", "-a", ijbc / "anchors.h5", *QUICK, "--json"),
    )
    assert moved.out == plain.out
