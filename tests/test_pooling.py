"""Pooling against a slow loop over templates, media and images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import damcli
from damcli.errors import InputError, UserError
from damcli.lid.discrepancy import log_lid
from damcli.lid.pooled import pooled_lid
from damcli.pooling.pool import Pooled
from damcli.protocols.templates import TemplateList
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from tests.faces import anchors, faces

MODES = [f"N{n}D{d}F{f}" for n in "01" for d in "01" for f in "01"]


def listed(path: Path, rows: list[tuple[object, ...]], header: str | None = None) -> TemplateList:
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return damcli.read_templates(path)


def by_loop(rows: list[tuple], raw: dict[str, np.ndarray], mode: str) -> dict[str, np.ndarray]:
    """Pool as insightface's evaluation of IJB describes it, one image at a time."""
    templates: dict[str, dict[str, list[np.ndarray]]] = {}
    for template, medium, name, weight in rows:
        both = raw[name]
        half = len(both) // 2
        image = both[:half] + both[half:] if "F1" in mode else both[:half]
        if "N0" in mode:
            image = image / np.linalg.norm(image)
        if "D1" in mode:
            image = image * weight
        templates.setdefault(str(template), {}).setdefault(str(medium), []).append(image)
    return {
        name: sum(np.mean(images, axis=0) for images in media.values())
        for name, media in templates.items()
    }


def made_up(rng: np.random.Generator, images: int = 40) -> tuple[list[tuple], dict, Embeddings]:
    names = [f"{place}.jpg" for place in range(images)]
    vectors = rng.normal(size=(images, 12)) * rng.uniform(1, 30, size=(images, 1))
    raw = dict(zip(names, vectors, strict=True))
    rows = [
        (int(rng.integers(7)), int(rng.integers(4)), name, round(float(rng.uniform(0, 1)), 3))
        for name in [*names, *names[:9]]  # some stand in two templates
    ]
    rows = list({(t, m, name): (t, m, name, w) for t, m, name, w in rows}.values())
    order = rng.permutation(images)
    shuffled = Embeddings.from_arrays(
        vectors[order].astype(np.float32),
        [names[at] for at in order],
        attributes={"flip": "concat", "model_sha256": "f" * 64},
    )
    return rows, raw, shuffled


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_is_that_of_the_loop(mode: str, rng: np.random.Generator, tmp_path: Path) -> None:
    rows, raw, embeddings = made_up(rng)
    pooled = damcli.pool(embeddings, listed(tmp_path / "list.csv", rows), mode=mode).templates
    expected = by_loop(rows, raw, mode)
    assert set(pooled.ids) == set(expected)
    assert pooled.norms is not None
    for name, vector, norm in zip(pooled.ids, pooled.vectors, pooled.norms, strict=True):
        length = np.linalg.norm(expected[name])
        np.testing.assert_allclose(vector, expected[name] / length, atol=2e-6)
        assert norm == pytest.approx(length, rel=1e-5)


def test_modes_differ(rng: np.random.Generator, tmp_path: Path) -> None:
    rows, _, embeddings = made_up(rng)
    templates = listed(tmp_path / "list.csv", rows)
    found = [damcli.pool(embeddings, templates, mode=mode).templates.vectors for mode in MODES]
    for place, one in enumerate(found):
        assert all(np.abs(one - other).max() > 1e-3 for other in found[:place])


def test_a_file_read_in_blocks_gives_the_same(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _, embeddings = made_up(rng)
    templates = listed(tmp_path / "list.csv", rows)
    whole = damcli.pool(embeddings, templates, mode="N1D1F1", anchors=anchors(dim=6))
    damcli.write_embeddings(tmp_path / "emb.h5", embeddings)
    monkeypatch.setattr("damcli.pooling.sums.BLOCK_ROWS", 7)
    done: list[int] = []
    blocks = damcli.pool(
        damcli.open_embeddings(tmp_path / "emb.h5"),
        templates,
        mode="N1D1F1",
        anchors=anchors(dim=6),
        progress=done.append,
    )
    np.testing.assert_allclose(blocks.templates.vectors, whole.templates.vectors, atol=1e-6)
    assert sum(done) == 40
    lids = [pooled_lid(one.templates).log_lid(one.templates) for one in (whole, blocks)]
    np.testing.assert_allclose(*lids, rtol=1e-6)


@given(st.data())
def test_one_image_a_template_gives_the_image_back(data: st.DataObject) -> None:
    embeddings = faces(5, 2)
    names = data.draw(st.permutations(list(embeddings.ids)))
    count = data.draw(st.integers(1, len(names)))
    lonely = damcli.templates_by(
        embeddings.take(embeddings.rows_of(np.array(names[:count]))), "subject"
    )
    pooled = damcli.pool(embeddings, lonely).templates
    assert pooled.subjects is not None
    for name, vector in zip(pooled.ids, pooled.vectors, strict=True):
        mine = [n for n in names[:count] if n.startswith(f"{name}/")]
        summed = embeddings.vectors[embeddings.rows_of(np.array(mine))].astype(float).sum(axis=0)
        np.testing.assert_allclose(vector, summed / np.linalg.norm(summed), atol=1e-6)
    assert list(pooled.subjects) == list(pooled.ids)


def test_what_is_kept(tmp_path: Path) -> None:
    embeddings = faces(3, 4)
    groups = {
        "race": np.array([f"race of {name}" for name in embeddings.subjects], dtype=object),
        "pose": np.array([f"pose {row % 2}" for row in range(12)], dtype=object),
    }
    known = {"model_sha256": "a" * 64, "flip": "none", "model_name": "m.onnx"}
    embeddings = Embeddings(
        embeddings.vectors, embeddings.ids, embeddings.subjects, embeddings.norms, groups, known
    )
    rows = [(f"t{row // 4}", row % 4 // 2, name, "west") for row, name in enumerate(embeddings.ids)]
    done = damcli.pool(
        embeddings, listed(tmp_path / "l.csv", rows, "template_id,media_id,id,site"), mode="N0D0F0"
    )
    made = done.templates
    assert list(made.ids) == ["t0", "t1", "t2"]
    assert made.subjects is not None
    assert list(made.subjects) == ["p000", "p001", "p002"]
    assert list(made.groups["race"]) == ["race of p000", "race of p001", "race of p002"]
    assert list(made.groups["site"]) == ["west"] * 3
    assert list(made.groups["image_count"]) == ["4"] * 3
    assert list(made.groups["media_count"]) == ["2"] * 3
    assert done.dropped == ["pose"]
    assert made.attributes["model_sha256"] == "a" * 64
    assert made.attributes["flip"] == "none"
    assert made.attributes["pooled_images"] == 12
    assert made.attributes["templates_sha256"] == damcli.read_templates(tmp_path / "l.csv").digest


def test_frames_become_videos() -> None:
    ids = [f"frames/Ann_Lee/{video}/{frame}.jpg" for video in (0, 1) for frame in range(3)]
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    frames = Embeddings.from_arrays(vectors, ids)
    made = damcli.pool(frames, damcli.templates_by(frames, "video")).templates
    assert list(made.ids) == ["frames/Ann_Lee/0", "frames/Ann_Lee/1"]
    mean = frames.vectors[:3].astype(float).mean(axis=0)
    np.testing.assert_allclose(made.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert made.norms is not None
    assert made.norms[0] == pytest.approx(np.linalg.norm(mean), rel=1e-6)
    assert list(made.groups["media_count"]) == ["1", "1"]


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Embeddings, TemplateList, list[tuple]]:
    embeddings = faces(4, 5)
    rows = [
        (f"t{row // 5}", (0, 0, 0, 1, 2)[row % 5], name) for row, name in enumerate(embeddings.ids)
    ]
    return embeddings, listed(tmp_path / "list.csv", rows), rows


def test_pooled_lids_are_means_over_media(
    photographs: tuple[Embeddings, TemplateList, list[tuple]],
) -> None:
    embeddings, templates, rows = photographs
    made = damcli.pool(embeddings, templates, anchors=anchors(), k=3, s=2.0).templates
    each = dict(zip(embeddings.ids, log_lid(embeddings, anchors(), k=3, s=2.0), strict=True))
    expected = []
    for template in made.ids:
        media: dict[int, list[float]] = {}
        for name, medium, image in rows:
            if name == template:
                media.setdefault(medium, []).append(each[image])
        expected.append(np.mean([np.mean(values) for values in media.values()]))
    source = pooled_lid(made)
    np.testing.assert_allclose(source.log_lid(made), expected, rtol=1e-12)
    assert (source.k, source.s, source.metric) == (3, 2.0, "DAM-R, pooled LID")
    again = pooled_lid(made.take(np.array([2, 0])))
    np.testing.assert_allclose(again.log_lid(again.templates), [expected[2], expected[0]])


def test_pooled_lids_know_what_made_them(
    photographs: tuple[Embeddings, TemplateList, list[tuple]], tmp_path: Path
) -> None:
    embeddings, templates, _ = photographs
    with pytest.raises(InputError, match="holds no pooled LIDs"):
        pooled_lid(damcli.pool(embeddings, templates).templates)
    for name, seed in (("a", 1), ("b", 2)):
        damcli.write_embeddings(tmp_path / f"{name}.h5", anchors(seed=seed))
    one, other = (damcli.read_anchors(tmp_path / f"{name}.h5") for name in "ab")
    made = damcli.pool(embeddings, templates, anchors=one).templates
    assert pooled_lid(made, one, k=10, s=1.0).describe()["anchors_sha256"] == one.digest
    with pytest.raises(InputError, match=f"pooled LIDs with sha256 {one.digest}; expected"):
        pooled_lid(made, other)
    with pytest.raises(InputError, match="pooled LIDs with k 10; expected 5"):
        pooled_lid(made, k=5)
    gallery = damcli.pool(embeddings, templates, anchors=one, k=4).templates
    with pytest.raises(InputError, match="pooled LIDs with k 4; expected 10"):
        pooled_lid(made).log_lid(gallery)


def test_templates_pooled_again_keep_nothing_of_before(
    photographs: tuple[Embeddings, TemplateList, list[tuple]],
) -> None:
    embeddings, templates, _ = photographs
    once = damcli.pool(embeddings, templates, anchors=anchors(), raw_norm=True).templates
    again = damcli.pool(once, damcli.templates_by(once, "subject"))
    assert list(again.templates.groups["image_count"]) == ["1"] * 4
    assert "pooled_log_lid" not in again.templates.groups
    assert again.dropped == []
    assert not [name for name in again.templates.attributes if name.startswith("pooled_lid")]
    assert again.templates.attributes["pooled_norm"] == "unit"


def test_anchors_of_the_templates_people_are_refused(
    photographs: tuple[Embeddings, TemplateList, list[tuple]],
) -> None:
    embeddings, templates, _ = photographs
    own = Anchors.of(faces(6, 1), kind="real-db")
    with pytest.raises(InputError, match="4 subjects stand among the anchors"):
        damcli.pool(embeddings, templates, anchors=own)
    made = damcli.pool(embeddings, templates, anchors=own, allow_overlap=True, k=2).templates
    each = log_lid(embeddings, own, k=2)  # which skips a person's own anchors
    expected = [
        np.mean([each[5 * t : 5 * t + 3].mean(), *each[5 * t + 3 : 5 * t + 5]]) for t in range(4)
    ]
    np.testing.assert_allclose(pooled_lid(made).log_lid(made), expected)
    with pytest.raises(InputError, match="dimension 8"):
        damcli.pool(embeddings, templates, anchors=anchors(dim=8))


def test_missing_images(photographs: tuple[Embeddings, TemplateList, list[tuple]]) -> None:
    embeddings, templates, _ = photographs
    some = embeddings.take(np.array([0, 1, 5, 6, 7, 8, 9, 10]))
    with pytest.raises(InputError, match=r"12 of 20 images have no embedding .*'p000/2' \(row 3\)"):
        damcli.pool(some, templates)
    done: Pooled = damcli.pool(some, templates, skip_missing=True)
    assert list(done.templates.ids) == ["t0", "t1", "t2"]
    assert done.empty == ["t3"]
    assert done.missing[0] == (3, "t0", "p000/2")
    assert len(done.missing) == 12
    mean = some.vectors[:2].astype(float).mean(axis=0)  # of a medium of which two are left
    np.testing.assert_allclose(done.templates.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    with pytest.raises(InputError, match="20 of 20 images have no embedding"):
        damcli.pool(anchors(), templates, skip_missing=True)


def test_a_template_of_two_people(tmp_path: Path) -> None:
    templates = listed(tmp_path / "l.csv", [("t", 1, "p000/0"), ("t", 2, "p001/2")])
    with pytest.raises(
        InputError,
        match=r"l\.csv, row 2: template 't' holds images of 'p000' and of 'p001' \('p001/2'\)",
    ):
        damcli.pool(faces(), templates)


def test_images_that_cancel_out(tmp_path: Path) -> None:
    pair = Embeddings.from_arrays(np.array([[1.0, 2], [-1, -2]]), ["a", "b"])
    templates = listed(tmp_path / "l.csv", [("t", 1, "a"), ("t", 2, "b")])
    with pytest.raises(InputError, match="images of template 't' add up to a vector without dir"):
        damcli.pool(pair, templates)
    zero = listed(tmp_path / "z.csv", [("t", 1, "a", 0)])
    with pytest.raises(InputError, match="weights above 0"):
        damcli.pool(pair, zero)


@pytest.mark.parametrize(
    ("flip", "mode", "said"),
    [
        ("none", "N0D0F1", "was embedded with --flip none; expected --flip concat for F1"),
        ("sum", "N0D0F0", "was embedded with --flip sum; expected --flip concat for F0"),
        (None, "N0D0F1", "does not say what of the mirror images it holds, which F1 asks for"),
        ("concat", "N0D1F1", "has no weights"),
        ("none", "N1D0F0", "knows no lengths before normalisation but 1"),
    ],
)
def test_what_a_mode_needs(
    flip: str | None, mode: str, said: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    vectors = rng.normal(size=(2, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = {} if flip is None else {"flip": flip}
    images = Embeddings.from_arrays(vectors, ["a", "b"], attributes=known)
    templates = listed(tmp_path / "l.csv", [("t", 1, "a"), ("t", 2, "b")])
    with pytest.raises(InputError, match=said):
        damcli.pool(images, templates, mode=mode)


def test_halves(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings], rng: np.random.Generator
) -> None:
    templates = listed(tmp_path / "l.csv", [("t", 1, "a"), ("t", 2, "b")])
    odd = Embeddings.from_arrays(rng.normal(size=(2, 5)), ["a", "b"])
    with pytest.raises(InputError, match="dimension 5; expected an image's and its mirror image's"):
        damcli.pool(odd, templates, halves="sum")
    flipped = Embeddings.from_arrays(np.array([[1.0, 0, -1, 0], [1, 1, 1, 0]]), ["a", "b"])
    with pytest.raises(InputError, match="row 1: the embedding of 'a' is all zeros"):
        damcli.pool(flipped, templates, halves="sum")
    made = damcli.pool(flipped, templates, halves="first").templates
    assert made.attributes["flip"] == "none"
    assert made.dim == 2
    for wrong in ({"halves": "third"}, {"mode": "N2D0F0"}):
        with pytest.raises(UserError, match="expected"):
            damcli.pool(odd, templates, **wrong)  # type: ignore[arg-type]
