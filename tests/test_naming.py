"""Official ids to those of embeddings that were made from another tree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.errors import InputError
from damcli.protocols.naming import WHOLE, FittedPairs, fit_ids, name_ids
from damcli.protocols.opening import open_protocol
from damcli.storage.embeddings import Embeddings
from tests import official

LFW = ["Al_Bo/Al_Bo_0001.jpg", "Al_Bo/Al_Bo_0002.jpg", "Cy_D/Cy_D_0001.jpg"]
CFP = ["Data/Images/001/frontal/01.jpg", "Data/Images/001/profile/01.jpg"]


@pytest.mark.parametrize(
    ("wanted", "present", "rule"),
    [
        (LFW, LFW, WHOLE),
        (LFW, [name.replace(".jpg", ".PNG") for name in LFW], "whole ids but for the suffix"),
        (LFW, [name.replace(".jpg", "") for name in LFW], "whole ids but for the suffix"),
        (LFW, [f"lfw/{name}" for name in LFW], "the last 2 parts of ids"),
        (LFW, [name.split("/")[1][:-4] for name in LFW], "the file name alone"),
        (CFP, [name.removeprefix("Data/Images/") for name in CFP], "the last 3 parts of ids"),
        (["m.0c9/m.0c9_0001.jpg"], ["m.0c9/m.0c9_0001"], "whole ids but for the suffix"),
    ],
)
def test_one_rule_for_all(wanted: list[str], present: list[str], rule: str) -> None:
    found = name_ids(wanted, [*present, "someone/else.jpg"])
    assert found.rule == rule
    assert found.names == dict(zip(wanted, present, strict=True))
    assert found.missing == ()


def test_what_is_ambiguous_is_no_rule() -> None:
    by_suffix = name_ids(LFW[:1], ["Al_Bo/Al_Bo_0001.png", "Al_Bo/Al_Bo_0001.bmp"])
    assert (by_suffix.names, by_suffix.missing) == ({}, (LFW[0],))
    both = name_ids(LFW[:1], [LFW[0], "Al_Bo/Al_Bo_0001.bmp"])
    assert both.names == {LFW[0]: LFW[0]}
    races = ["African/m.0/m.0_0001.jpg", "Asian/m.0/m.0_0001.jpg"]
    assert name_ids(races, ["m.0/m.0_0001.jpg", "x/African/m.0/m.0_0001.jpg"]).names == {
        races[0]: "x/African/m.0/m.0_0001.jpg"
    }
    assert name_ids(CFP, ["01.jpg"]).names == {}


def test_numbers_are_known_by_all_of_them() -> None:
    assert name_ids(["000001"], ["x/000001.jpg"], "numbers").names == {}
    assert name_ids(["000001"], ["000001"], "numbers").rule == WHOLE


def test_the_rule_that_finds_most() -> None:
    found = name_ids(LFW, [LFW[0], "Al_Bo_0001", "Al_Bo_0002"])
    assert found.rule == WHOLE  # the file name alone would be ambiguous for the first
    assert found.missing == (LFW[1], LFW[2])
    found = name_ids(LFW, ["Al_Bo_0001", "Al_Bo_0002"])
    assert found.names == {LFW[0]: "Al_Bo_0001", LFW[1]: "Al_Bo_0002"}
    assert found.missing == (LFW[2],)


PARTS = st.text("ab.", min_size=1, max_size=2)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
NAMES = st.builds(str.__add__, PATHS, st.sampled_from(["", ".jpg", ".png"]))


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.lists(NAMES, max_size=5))
def test_no_embedding_ever_stands_for_two_images(wanted: list[str], present: list[str]) -> None:
    found = name_ids(wanted, present)
    assert len(set(found.names.values())) == len(found.names)
    assert set(found.names.values()) <= set(present)
    assert set(found.names) | set(found.missing) == set(wanted)
    assert found.names.keys().isdisjoint(found.missing)
    if set(wanted) <= set(present):
        assert found.names == {name: name for name in wanted}


def embeddings(ids: list[str], origin: str = "emb.h5") -> Embeddings:
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4))
    return Embeddings.from_arrays(vectors, ids, origin=origin)


def probes(pairs: FittedPairs) -> list[str]:
    return [str(name) for chunk in pairs.chunks() for name in chunk.probes.values]


def test_pairs_come_under_the_ids_of_the_embeddings(tmp_path: Path) -> None:
    pairs = open_protocol("lfw", official.lfw(tmp_path / "pairs.txt", 2, 2, "2 2"))
    ids = [f"Al_{who}_{number:04d}" for who in "01z" for number in (1, 2, 3)]
    fitted = fit_ids(pairs, embeddings(ids))
    assert fitted.probes.rule == "the file name alone"
    assert probes(fitted)[:2] == ["Al_0_0001", "Al_0_0002"]
    assert fitted.has_folds == pairs.has_folds
    with pytest.raises(
        InputError, match=r"2 of 8 images have no embedding in emb.h5: 'Al_0/Al_0_0001.jpg', "
    ):
        fit_ids(pairs, embeddings([*ids[1:3], *ids[4:]]))
    left = fit_ids(pairs, embeddings(ids[1:]), skip_missing=True)
    assert left.probes.missing == ("Al_0/Al_0_0001.jpg",)
    assert probes(left)[:2] == ["Al_0/Al_0_0001.jpg", "Al_0_0002"]


def test_a_gallery_has_a_rule_of_its_own(tmp_path: Path) -> None:
    pairs = open_protocol("trials", official.write(tmp_path / "trials", ["1 a/1.wav b/1.wav"]))
    fitted = fit_ids(pairs, embeddings(["x/a/1.wav"]), embeddings(["b/1"], "gallery.h5"))
    (chunk,) = fitted.chunks()
    assert (chunk.probes.values[0], chunk.references.values[0]) == ("x/a/1.wav", "b/1")
    with pytest.raises(InputError, match=r"1 of 1 recordings have no embedding in gallery.h5"):
        fit_ids(pairs, embeddings(["a/1.wav"]), embeddings(["c"], "gallery.h5"))
