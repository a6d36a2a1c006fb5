"""``damcli pool``, and scoring what it makes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import damcli as api
from damcli.lid.discrepancy import log_lid
from damcli.protocols.ijb import IjbPairs
from damcli.protocols.opening import PROTOCOLS
from damcli.storage.embeddings import Embeddings
from tests import official
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors

NONE = ("--resamples", "0")
TEMPLATES, IMAGES, DIM = 20, 100, 16


def refused(outcome: Outcome, part: str) -> None:
    """Assert a usage error; its box breaks lines anywhere."""
    assert outcome.code == 2, outcome.err
    assert part in " ".join(outcome.err.replace("│", " ").split()), outcome.err


@pytest.fixture
def ijb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """IJB-C as it is laid out, of 20 templates of 5 people, and embeddings of its images."""
    pairs = [(i, j) for i in range(TEMPLATES) for j in range(i)]
    small = replace(PROTOCOLS["ijbc"], read=partial(IjbPairs, pairs=len(pairs)))
    monkeypatch.setitem(PROTOCOLS, "ijbc", small)
    meta = tmp_path / "IJBC" / "meta"
    rng = np.random.default_rng(5)
    of_image = np.sort(rng.integers(TEMPLATES, size=IMAGES))
    of_image[:TEMPLATES] = np.arange(TEMPLATES)
    of_image.sort()
    names = [f"{row + 1}.jpg" for row in range(IMAGES)]
    media = 500 + rng.integers(3, size=IMAGES)
    official.write(
        meta / "ijbc_face_tid_mid.txt",
        [f"{n} {t + 1} {m}" for n, t, m in zip(names, of_image, media, strict=True)],
    )
    scores = rng.uniform(0.1, 1, size=IMAGES).round(4)
    points = "38 51 73 51 56 71 41 92 70 92"
    official.write(
        meta / "ijbc_name_5pts_score.txt",
        [f"{n} {points} {score}" for n, score in zip(names, scores, strict=True)],
    )
    official.write(
        meta / "ijbc_template_pair_label.txt",
        [f"{i + 1} {j + 1} {int(i % 5 == j % 5)}" for i, j in pairs],
    )
    centres = rng.normal(size=(5, 2 * DIM))
    vectors = centres[of_image % 5] + 0.8 * rng.normal(size=(IMAGES, 2 * DIM))
    lengths = rng.uniform(5, 25, size=(IMAGES, 1))
    embeddings = Embeddings.from_arrays(
        vectors * lengths,
        [f"loose_crop/{name}" for name in names],
        attributes={"flip": "concat", "model_sha256": "c" * 64, "command": "damcli embed"},
    )
    api.write_embeddings(tmp_path / "emb.h5", embeddings)
    api.write_embeddings(tmp_path / "anchors.h5", anchors(dim=DIM))
    return tmp_path


def pool(root: Path, *options: object, out: str = "templates.h5") -> Outcome:
    listed = root / "IJBC" / "meta" / "ijbc_face_tid_mid.txt"
    return damcli("pool", root / "emb.h5", "--templates", listed, "-o", root / out, *options)


def slow_templates(root: Path, mode: str) -> dict[str, np.ndarray]:
    """Pool image by image from the official files."""
    meta = root / "IJBC" / "meta"
    listed = [line.split() for line in (meta / "ijbc_name_5pts_score.txt").read_text().splitlines()]
    scores = {cells[0]: cells[-1] for cells in listed}
    stored = api.read_embeddings(root / "emb.h5")
    assert stored.norms is not None
    raw = {
        name.split("/")[1]: vector.astype(float) * norm
        for name, vector, norm in zip(stored.ids, stored.vectors, stored.norms, strict=True)
    }
    media: dict[tuple[str, str], list[np.ndarray]] = {}
    for line in (meta / "ijbc_face_tid_mid.txt").read_text().splitlines():
        name, template, medium = line.split()
        image = raw[name][:DIM] + (raw[name][DIM:] if mode[5] == "1" else 0)
        image = image if mode[1] == "1" else image / np.linalg.norm(image)
        image = image * (float(scores[name]) if mode[3] == "1" else 1)
        media.setdefault((template, medium), []).append(image)
    summed: dict[str, np.ndarray] = {}
    for (template, _), images in media.items():
        summed[template] = summed.get(template, 0) + np.mean(images, axis=0)
    return {name: vector / np.linalg.norm(vector) for name, vector in summed.items()}


@pytest.mark.parametrize("mode", ["N1D1F1", "N0D0F0", "n0d1f1"])
def test_ijbc_from_images_to_rates(ijb: Path, mode: str) -> None:
    done = pool(ijb, "--mode", mode)
    assert done.code == 0, done.err
    assert "wrote 20 templates of dimension 16 to" in done.err
    assert "by the file name alone" in done.err
    assert ("weights from" in done.err) == ("1" in mode[3])
    expected = slow_templates(ijb, mode.upper())
    made = api.read_embeddings(ijb / "templates.h5")
    for name, vector in zip(made.ids, made.vectors, strict=True):
        np.testing.assert_allclose(vector, expected[name], atol=1e-6)
    scores = ijb / "scores.csv"
    scored = damcli(
        *("score", "--protocol", "ijbc", "--root", ijb, "-e", ijb / "templates.h5"),
        *("-a", ijb / "anchors.h5", "-o", scores, "--json", *NONE),
    )
    assert scored.code == 0, scored.err
    assert "does not say that it was pooled" not in scored.err
    assert json.loads(scored.out)["counts"] == {"genuine": 30, "impostors": 160, "subjects": None}
    with scores.open() as file:
        for row in csv.DictReader(file):
            cosine = expected[row["probe_id"]] @ expected[row["reference_id"]]
            assert float(row["cosine"]) == pytest.approx(cosine, abs=1e-6)


def test_what_is_recorded(ijb: Path) -> None:
    done = pool(ijb, "--mode", "N1D1F1", "--json")
    document = json.loads(done.out)
    assert document["schema"] == "damcli/pool"
    assert document["settings"]["weights"] == "detector scores"
    assert (document["templates"], document["images"]) == (20, 100)
    about = api.open_embeddings(ijb / "templates.h5").attributes
    assert about["model_sha256"] == "c" * 64
    assert about["flip"] == "sum"
    assert (about["pooled_norm"], about["pooled_halves"]) == ("raw", "sum")
    assert about["templates_sha256"] == document["inputs"]["templates"]
    assert about["pooled_from_sha256"] == document["inputs"]["embeddings"]
    assert about["source_command"] == "damcli embed"
    assert about["command"].startswith("damcli pool")


def test_pooled_lids_are_scored_and_recorded(ijb: Path) -> None:
    done = pool(ijb, "--mode", "N0D0F1", "-a", ijb / "anchors.h5", "-k", "4", "-s", "2")
    assert done.code == 0, done.err
    files = ("--protocol", "ijbc", "--root", ijb, "-e", ijb / "templates.h5")
    scored = damcli("score", *files, "--lid", "pooled", "-o", ijb / "s.csv", "--json", *NONE)
    document = json.loads(scored.out)
    assert [metric["name"] for metric in document["metrics"]] == ["cosine", "DAM-R, pooled LID"]
    anchor_set = api.read_anchors(ijb / "anchors.h5")
    assert document["inputs"]["anchors"] == anchor_set.digest
    assert (document["settings"]["k"], document["settings"]["s"]) == (4, 2.0)
    assert document["settings"]["lid"] == "pooled"
    images = api.read_embeddings(ijb / "emb.h5")
    summed = images.vectors[:, :DIM].astype(float) + images.vectors[:, DIM:]
    lids = log_lid(Embeddings.from_arrays(summed, images.ids), anchor_set, k=4, s=2)
    by_image = dict(zip([n.split("/")[1] for n in images.ids], lids, strict=True))
    media: dict[str, dict[str, list[float]]] = {}
    for line in (ijb / "IJBC/meta/ijbc_face_tid_mid.txt").read_text().splitlines():
        name, template, medium = line.split()
        media.setdefault(template, {}).setdefault(medium, []).append(by_image[name])
    pooled = {t: np.mean([np.mean(v) for v in m.values()]) for t, m in media.items()}
    with (ijb / "s.csv").open() as file:
        for row in csv.DictReader(file):
            g1, g2 = pooled[row["probe_id"]], pooled[row["reference_id"]]
            dam = 2 * float(row["cosine"]) + np.log(np.exp(-g1) + np.exp(-g2))
            assert float(row["score"]) == pytest.approx(dam, abs=1e-6)
    own = damcli("score", *files, "-a", ijb / "anchors.h5", "-k", "4", "-s", "2", "--json", *NONE)
    assert json.loads(own.out)["metrics"][1]["name"] == "DAM-R"
    assert "lid" not in json.loads(own.out)["settings"]
    picked = damcli(
        *("evaluate", ijb / "s.csv", "--threshold-at", "0.1", "-o", ijb / "t.json", *NONE)
    )
    assert picked.code == 0, picked.err
    with_threshold = ("--threshold", ijb / "t.json", *NONE)
    assert damcli("score", *files, "--lid", "pooled", *with_threshold).code == 0
    failed(
        damcli("score", *files, "-a", ijb / "anchors.h5", "-k", "4", "-s", "2", *with_threshold),
        "picked on scores with lid pooled; expected lid (none)",
    )


def test_pooled_lids_must_be_those_asked_for(ijb: Path) -> None:
    files = ("score", "--protocol", "ijbc", "--root", ijb, "-e", ijb / "templates.h5", *NONE)
    assert pool(ijb, "--mode", "N0D0F0").code == 0
    failed(damcli(*files, "--lid", "pooled"), "holds no pooled LIDs", "hint: damcli pool emb.h5")
    assert pool(ijb, "--mode", "N0D0F0", "-a", ijb / "anchors.h5", "--force").code == 0
    failed(damcli(*files, "--lid", "pooled", "-k", "3"), "pooled LIDs with k 10; expected 3")
    api.write_embeddings(ijb / "others.h5", anchors(dim=DIM, seed=9))
    other = damcli(*files, "--lid", "pooled", "-a", ijb / "others.h5")
    failed(other, "pooled LIDs with sha256", "as asked for")
    assert damcli(*files, "--lid", "pooled", "-a", ijb / "anchors.h5").code == 0


def test_images_where_templates_are_asked_for(ijb: Path) -> None:
    files = ("score", "--protocol", "ijbc", "--root", ijb, *NONE)
    failed(
        damcli(*files, "-e", ijb / "emb.h5"),
        "20 of 20 templates have no embedding in",
        "if they are of images, pool them: damcli pool emb.h5 --templates",
    )
    numbered = Embeddings.from_arrays(
        np.random.default_rng(0).normal(size=(30, 4)), [str(n) for n in range(30)]
    )
    api.write_embeddings(ijb / "numbered.h5", numbered)
    done = damcli(*files, "-e", ijb / "numbered.h5", "--quiet")
    assert done.code == 0
    assert "does not say that it was pooled; expected templates, not images" in done.err


def test_missing_images_are_counted_named_and_listed(ijb: Path) -> None:
    whole = api.read_embeddings(ijb / "emb.h5")
    lines = (ijb / "IJBC/meta/ijbc_face_tid_mid.txt").read_text().splitlines()
    of_template = [line.split()[1] for line in lines]
    gone = [row for row, name in enumerate(of_template) if name == "7"]
    kept = np.array([row for row in range(IMAGES) if row not in (0, *gone)])
    api.write_embeddings(ijb / "emb.h5", whole, rows=kept, force=True)
    (ijb / "templates.h5").write_text("precious")
    options = ("--mode", "N1D0F1", "--force")
    said = f"{1 + len(gone)} of 100 images"
    failed(
        pool(ijb, *options), said, "'1.jpg' (row 1)", "hint: its ids look like", "--skip-missing"
    )
    assert (ijb / "templates.h5").read_text() == "precious"
    done = pool(ijb, *options, "--skip-missing", "--quiet")
    assert done.code == 0, done.err
    assert f"{said} left out for want of an embedding: '1.jpg' (row 1)" in done.err
    assert "no image is left of 2 of 20 templates: '1', '7'" in done.err
    made = api.open_embeddings(ijb / "templates.h5")
    assert set(made.ids) == {str(n) for n in range(1, 21)} - {"1", "7"}
    assert made.attributes["missing_images"] == 1 + len(gone)
    rejects = list(csv.reader((ijb / "templates.rejects.csv").read_text().splitlines()))
    assert rejects[:2] == [["row", "template_id", "image_id"], ["1", of_template[0], "1.jpg"]]
    assert len(rejects) == 2 + len(gone)
    api.write_embeddings(ijb / "emb.h5", whole, force=True)
    assert pool(ijb, *options, "--skip-missing").code == 0
    assert not (ijb / "templates.rejects.csv").exists()


def test_ytf_from_frames_to_folds(tmp_path: Path) -> None:
    official.ytf(tmp_path / "splits.txt")
    lines = [line.split(",") for line in (tmp_path / "splits.txt").read_text().splitlines()[1:]]
    videos = sorted({cell.strip() for line in lines for cell in line[2:4]})
    ids = [f"frame_images_DB/{video}/0.{frame}.jpg" for video in videos for frame in (1, 2)]
    vectors = np.random.default_rng(1).normal(size=(len(ids), 8))
    api.write_embeddings(tmp_path / "emb.h5", Embeddings.from_arrays(vectors, ids))
    files = ("score", "--protocol", "ytf", "--root", tmp_path, "--json", *NONE)
    failed(damcli(*files, "-e", tmp_path / "emb.h5"), "damcli pool emb.h5 --by video -o videos.h5")
    done = damcli("pool", tmp_path / "emb.h5", "--by", "video", "-o", tmp_path / "videos.h5")
    assert f"wrote {len(videos):,} templates" in done.err, done.err
    scored = damcli(*files, "-e", tmp_path / "videos.h5")
    assert json.loads(scored.out)["counts"]["genuine"] == 2500, scored.err
    assert json.loads(scored.out)["settings"]["ids_found_by"] == "the last 2 parts of ids"


def test_a_list_from_stdin_with_weights(ijb: Path) -> None:
    listed = b"template_id,media_id,id,weight\nx,1,1.jpg,1\nx,2,2.jpg,3\n"
    arguments = ("pool", ijb / "emb.h5", "--templates", "-", "-o")
    done = damcli(*arguments, ijb / "x.h5", stdin=listed)
    assert "weights: column weight" in done.err
    images = api.read_embeddings(ijb / "emb.h5").vectors[:2].astype(float)
    (made,) = api.read_embeddings(ijb / "x.h5").vectors
    expected = images[0] + 3 * images[1]
    np.testing.assert_allclose(made, expected / np.linalg.norm(expected), atol=1e-6)
    plain = damcli(*arguments, ijb / "y.h5", "--unweighted", stdin=listed)
    assert "stdin: its weights are left out, as was asked for" in plain.err
    (made,) = api.read_embeddings(ijb / "y.h5").vectors
    np.testing.assert_allclose(made, sum(images) / np.linalg.norm(sum(images)), atol=1e-6)
    scores = ("--detector-scores", ijb / "IJBC/meta/ijbc_name_5pts_score.txt")
    failed(damcli(*arguments, ijb / "z.h5", *scores, stdin=listed), "stdin: has weights of its own")


def test_explicit_options_go_before_the_mode(ijb: Path) -> None:
    options = ("--mode", "N1D1F1", "--unit-norm", "--unweighted", "--halves", "first")
    assert pool(ijb, *options).code == 0
    assert pool(ijb, "--mode", "N0D0F0", out="plain.h5").code == 0
    one, other = (api.read_embeddings(ijb / name) for name in ("templates.h5", "plain.h5"))
    assert np.array_equal(one.vectors, other.vectors)


def test_detector_scores_that_lack(ijb: Path) -> None:
    meta = ijb / "IJBC" / "meta"
    scores = meta / "ijbc_name_5pts_score.txt"
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join(lines[:-1]))
    failed(pool(ijb, "--mode", "N0D1F0"), "no score for '100.jpg'", "face_tid_mid.txt, row 100")
    without = meta / "plain.txt"
    without.write_text("\n".join(line.rsplit(" ", 1)[0] for line in lines))
    failed(pool(ijb, "--detector-scores", without), "five landmarks an image without a score")
    scores.unlink()
    failed(pool(ijb, "--mode", "N0D1F0"), "has no weights", "--detector-scores FILE")
    assert not (ijb / "templates.h5").exists()


def test_usage(ijb: Path) -> None:
    refused(pool(ijb, "--by", "video"), "give either --templates FILE or --by")
    refused(damcli("pool", ijb / "emb.h5", "-o", ijb / "t.h5"), "give either --templates FILE")
    refused(pool(ijb, "--mode", "N1D1"), "--mode N1D1: expected N0 or N1, D0 or D1, F0 or F1")
    refused(
        pool(ijb, "--mode", "N1D0F1", "--detector-scores", ijb / "emb.h5"),
        "--detector-scores are weights, which --unweighted and D0 leave out",
    )
    refused(pool(ijb, "-k", "3"), "-k is about DAM, which needs --anchors or --lidr")
    failed(pool(ijb, out="templates.npz"), "unknown ending '.npz'; expected .h5")
    refused(pool(ijb, "--force", out="emb.h5"), "is an input too; expected another name")
    assert pool(ijb).code == 0
    failed(pool(ijb), "templates.h5: exists already", "--force")
    failed(pool(ijb, "--halves", "sum", "-a", ijb / "emb.h5", "--force"), "expected an anchor set")
