from __future__ import annotations

import io
import itertools
import math
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from damcli.errors import InputError, OutputError
from damcli.lid import log_lid
from damcli.protocols.pairs import read_pairs
from damcli.scoring import all_pairs as all_pairs_module
from damcli.scoring.all_pairs import AllPairScores, all_pairs
from damcli.scoring.matches import MatchSpool
from damcli.scoring.score import ListedScores, score
from damcli.scoring.table import score_file
from damcli.scoring.writing import Form
from damcli.storage import spool
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from tests.faces import anchors, faces


def write_pairs(path: Path, people: Embeddings, *, labels: bool = True) -> Path:
    rows = list(itertools.combinations(range(len(people)), 2))
    assert people.subjects is not None
    lines = ["probe_id,reference_id,label" if labels else "probe_id,reference_id"]
    for a, b in rows:
        same = int(people.subjects[a] == people.subjects[b])
        lines.append(",".join([people.ids[a], people.ids[b], *([str(same)] if labels else [])]))
    path.write_text("\n".join(lines) + "\n")
    return path


def frame(scores: ListedScores | AllPairScores) -> pd.DataFrame:
    out = io.BytesIO()
    form = Form(scores.scorer.probes, scores.scorer.references)
    with score_file(out) as append:
        for part in scores.parts(form):
            append(part.content)
    return pd.read_csv(io.BytesIO(out.getvalue()), dtype={"probe_id": str, "reference_id": str})


def read_table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    with pa.input_stream(str(path), compression="detect") as stream:
        return pd.read_csv(io.BytesIO(stream.read()))


def by_hand(people: Embeddings, others: Anchors, a: int, b: int, k: int, s: float) -> float:
    def g(row: int) -> float:
        return sum(sorted(np.exp(s * (others.vectors.astype(float) @ people.vectors[row])))[-k:])

    c = float(people.vectors[a].astype(float) @ people.vectors[b].astype(float))
    return math.exp(s * c) * (1 / g(a) + 1 / g(b))


def test_a_list_is_scored_in_its_order(tmp_path: Path) -> None:
    people, others = faces(5, 3), anchors()
    table = frame(
        score(read_pairs(write_pairs(tmp_path / "p.csv", people)), people, others, k=4, s=2)
    )
    pairs = list(itertools.combinations(range(len(people)), 2))
    assert table["probe_id"].tolist() == [people.ids[a] for a, _ in pairs]
    assert table["reference_id"].tolist() == [people.ids[b] for _, b in pairs]
    expected = [math.log(by_hand(people, others, a, b, 4, 2)) for a, b in pairs]
    assert table["score"].to_numpy() == pytest.approx(expected, abs=1e-9)
    linear = score(read_pairs(tmp_path / "p.csv"), people, others, k=4, s=2, linear=True)
    assert frame(linear)["score"].to_numpy() == pytest.approx(np.exp(expected), rel=1e-9)


def test_all_pairs_equal_the_list_of_all_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(all_pairs_module, "_PROBE_ROWS", 4)
    monkeypatch.setattr(all_pairs_module, "_REFERENCE_ROWS", 5)
    people, others = faces(7, 3), anchors()
    listed = frame(score(read_pairs(write_pairs(tmp_path / "p.csv", people)), people, others))
    whole = score(all_pairs(people), people, others)
    found = frame(whole)
    keys = ["probe_id", "reference_id"]
    pd.testing.assert_frame_equal(
        listed.sort_values(keys).reset_index(drop=True),
        found.sort_values(keys).reset_index(drop=True),
        rtol=1e-13,
    )
    assert isinstance(whole, AllPairScores)
    assert whole.genuine_count == listed["label"].sum()
    assert whole.impostor_count == (1 - listed["label"]).sum()
    for label, chunks in ((1, whole.genuine()), (0, whole.impostors())):
        streamed = np.concatenate([chunk.scores for chunk in chunks], axis=1)
        expected = listed.loc[listed["label"] == label, ["cosine", "score"]].to_numpy().T
        assert np.allclose(np.sort(streamed, axis=1), np.sort(expected, axis=1), atol=1e-12)


def test_a_gallery_pairs_each_probe_with_each_reference_but_itself() -> None:
    people = faces(4, 3)
    probes, gallery = people.take(slice(0, 8)), people.take(slice(4, 12))
    scores = score(all_pairs(probes, gallery), probes, gallery=gallery)
    table = frame(scores)
    expected = {(a, b) for a in probes.ids for b in gallery.ids if a != b}
    assert set(zip(table["probe_id"], table["reference_id"], strict=True)) == expected
    assert len(table) == len(expected) == len(scores)
    assert isinstance(scores, AllPairScores)
    assert scores.genuine_count == table["label"].sum()
    assert sum(c.scores.shape[1] for c in scores.impostors()) == scores.impostor_count


def test_chunks_change_no_score(tmp_path: Path) -> None:
    people, others = faces(6, 3), anchors()
    pairs = write_pairs(tmp_path / "p.csv", people)
    tables = [
        frame(score(read_pairs(pairs), people, others, chunk_pairs=size)) for size in (1, 7, 10**6)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[2], check_exact=True)
    pd.testing.assert_frame_equal(tables[1], tables[2], check_exact=True)


def test_groups_and_folds_come_along(tmp_path: Path) -> None:
    people = faces(3, 2)
    pairs = tmp_path / "p.csv"
    pairs.write_text(
        "camera,reference_id,probe_id,fold,label\nleft,p000/0,p000/1,2,1\nright,p001/0,p000/1,1,0\n"
    )
    scores = score(read_pairs(pairs), people)
    table = frame(scores)
    assert table["camera"].tolist() == ["left", "right"]
    assert table["fold"].tolist() == [2, 1]
    assert table["probe_id"].tolist() == ["p000/1", "p000/1"]
    assert "score" not in table
    assert isinstance(scores, ListedScores)
    matches = scores.matches()
    assert [chunk.folds.tolist() for chunk in matches.genuine()] == [[1]]
    assert [chunk.folds.tolist() for chunk in matches.impostors()] == [[0]]
    assert matches.subject_count == 2


def test_unknown_ids_are_refused_or_counted_and_named(tmp_path: Path) -> None:
    people = faces(3, 2)
    pairs = tmp_path / "p.csv"
    pairs.write_text(
        "probe_id,reference_id,label\np000/0,p000/1,1\np000/0,nobody,0\nwho,p001/0,0\np000/0,p001/0,0\n"
    )
    with pytest.raises(InputError, match=r"p\.csv, row 3: id 'nobody' has no embedding"):
        score(read_pairs(pairs), people)
    scores = score(read_pairs(pairs), people, skip_missing=True)
    assert isinstance(scores, ListedScores)
    assert [(m.row, m.missing_id) for m in scores.missing] == [(3, "nobody"), (4, "who")]
    assert len(frame(scores)) == 2


def test_a_list_without_one_known_pair(tmp_path: Path) -> None:
    pairs = tmp_path / "p.csv"
    pairs.write_text("x,y\n")
    with pytest.raises(InputError, match="none of its 1 pairs") as caught:
        score(read_pairs(pairs), faces(), skip_missing=True)
    assert "'p000/0'" in str(caught.value.hint)


def test_a_missing_id_is_looked_for_in_the_file_of_its_side(tmp_path: Path) -> None:
    people = replace(faces(3, 2), origin="emb.h5")
    gallery = replace(people.take(slice(2, None)), origin="gal.h5")
    pairs = tmp_path / "p.csv"
    for text, missing, origin in (
        ("p000/0,p000/0", "p000/0", "gal.h5"),
        ("who,p001/0", "who", "emb.h5"),
    ):
        pairs.write_text(f"p001/1,p001/0\n{text}\n")
        with pytest.raises(InputError, match=f"'{missing}' has no embedding in {origin}"):
            score(read_pairs(pairs), people, gallery=gallery)
        pairs.write_text(f"{text}\n")
        with pytest.raises(InputError, match=r"embeddings in emb\.h5 and gal\.h5") as caught:
            score(read_pairs(pairs), people, gallery=gallery, skip_missing=True)
        assert f"such as '{missing}'; {origin} has" in str(caught.value.hint)


def test_a_source_may_have_chunks_without_pairs(tmp_path: Path) -> None:
    people = faces(5, 2)
    listed = read_pairs(write_pairs(tmp_path / "p.csv", people))
    (chunk,) = listed.chunks()
    none = replace(
        chunk,
        lines=[],
        labels=np.empty(0, np.int8),
        **{
            side: replace(getattr(chunk, side), codes=np.empty(0, np.int64))
            for side in ("probes", "references")
        },
    )
    listed.chunks = lambda: iter([none, chunk, none])
    assert len(frame(score(listed, people))) == len(chunk)


def test_anchors_of_a_scored_person_are_refused_or_skipped(tmp_path: Path) -> None:
    people = faces(6, 2)
    pairs = write_pairs(tmp_path / "p.csv", people)
    mixed = Anchors.of(people, kind="real-db")
    with pytest.raises(InputError, match=r"6 subjects stand among the anchors.*'p000' for one"):
        score(read_pairs(pairs), people, mixed)
    nameless = replace(people, subjects=None)
    with pytest.raises(InputError, match="12 ids stand among the anchors"):
        score(read_pairs(pairs), nameless, mixed)
    skipped = score(read_pairs(pairs), people, mixed, allow_overlap=True, k=3)
    found = skipped.scorer.probe_log_lid
    assert found is not None
    assert found == pytest.approx(log_lid(people, mixed, k=3))


def test_only_the_scored_people_count_as_overlap(tmp_path: Path) -> None:
    people = faces(6, 2)
    pairs = tmp_path / "p.csv"
    pairs.write_text("p000/0,p000/1\np001/0,p000/1\n")
    rest = Anchors.of(people.take(slice(4, 12)), kind="real-db")
    lids = score(read_pairs(pairs), people, rest, k=2).scorer.probe_log_lid
    assert lids is not None
    assert np.isfinite(lids[[0, 1, 2]]).all()
    assert np.isnan(lids[3:]).all()


def test_files_of_two_models_are_refused_unless_allowed(tmp_path: Path) -> None:
    people, others = faces(4, 2), anchors()
    pairs = read_pairs(write_pairs(tmp_path / "p.csv", people))
    mine = replace(people, attributes={"model_sha256": "a" * 64})
    theirs = replace(others, attributes={**others.attributes, "model_sha256": "b" * 64})
    with pytest.raises(InputError, match="made with model bbbbbbbbbbbb…; expected model aaaa"):
        score(pairs, mine, theirs)
    for side, name in ((mine, "r50.onnx"), (theirs, "r100.onnx")):
        side.attributes["model_name"] = name
    named = r"made with model r100.onnx \(b{12}…\); expected model r50.onnx \(a{12}…\), the model"
    with pytest.raises(InputError, match=named):
        score(pairs, mine, theirs)
    assert len(frame(score(pairs, mine, theirs, allow_mixed_models=True))) == 28
    with pytest.raises(InputError, match="embeddings of dimension 8; expected 16"):
        score(pairs, people, anchors(dim=8), allow_mixed_models=True)


def test_full_precision_in_every_kind_of_file(tmp_path: Path) -> None:
    people, others = faces(5, 2), anchors()
    scores = score(all_pairs(people), people, others)
    expected = np.concatenate([np.array(chunk.scores) for chunk in scores.chunks()], axis=1)
    for name in ("s.csv", "s.csv.gz", "s.csv.zst", "s.parquet"):
        form = Form(people, people, as_text=name == "s.csv.gz")
        with score_file(tmp_path / name) as append:
            for part in scores.parts(form):
                append(part.content)
        table = read_table(tmp_path / name)
        assert np.array_equal(table[["cosine", "score"]].to_numpy().T, expected), name
    with (
        pytest.raises(OutputError, match="unknown kind of table"),
        score_file(tmp_path / "s.xlsx"),
    ):
        pass


def test_ids_with_commas_and_quotes_survive(tmp_path: Path) -> None:
    people = Embeddings.from_arrays(np.eye(2), ['a,"b', "0012"])
    pairs = tmp_path / "p.csv"
    pairs.write_text('"a,""b",0012\n')
    table = frame(score(read_pairs(pairs), people))
    assert table.loc[0, ["probe_id", "reference_id"]].tolist() == ['a,"b', "0012"]


def test_a_spool_keeps_no_more_alive_than_it_holds() -> None:
    whole, long = np.arange(9), np.arange(9_000)
    records, kept = spool.Spool(np.int64), weakref.ref(long)
    records.append(whole[:])
    records.append(long[:3])
    del long
    assert kept() is None
    assert np.shares_memory(records.read(0, 9), whole)
    assert records.read(0, 12).tolist() == [*range(9), 0, 1, 2]
    foreign = np.frombuffer(bytes(24), np.int64)  # who knows what it is a part of
    records.append(foreign[:])
    assert not np.shares_memory(records.read(12, 3), foreign)


def test_a_spool_goes_to_disk_and_reads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MEMORY_BYTES", 100)
    matches = MatchSpool(["cosine"], subject_count=9)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1000).astype(np.int8)
    values = rng.normal(size=1000)
    for part in np.array_split(np.arange(1000), 7):
        matches.append(labels[part], [values[part]], part % 9, part % 4)
    genuine = next(iter(matches.genuine()))
    assert np.array_equal(genuine.scores[0], values[labels == 1])
    assert np.array_equal(genuine.probe_subjects, np.flatnonzero(labels == 1) % 9)
    assert matches.impostor_count == (labels == 0).sum()
