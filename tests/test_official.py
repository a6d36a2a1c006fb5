"""Protocols from files in the layout of those who made them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from damcli.errors import InputError, UserError
from damcli.protocols import arrow_csv, opening
from damcli.protocols.ijb import IjbPairs
from damcli.protocols.official import OfficialPairs
from damcli.protocols.opening import IJB_FARS, PROTOCOLS, open_protocol
from tests import official
from tests.test_sources_bin import IMAGES, python2

Row = tuple[str, str, int, str]


def rows(pairs: OfficialPairs) -> list[Row]:
    found: list[Row] = []
    for chunk in pairs.chunks():
        assert chunk.labels is not None
        folds = [""] * len(chunk) if chunk.folds is None else chunk.folds.values
        found += zip(
            chunk.probes.values,
            chunk.references.values,
            chunk.labels.tolist(),
            folds,
            strict=True,
        )
    return found


def shape(found: list[Row]) -> set[tuple[str, int, int]]:
    """Count each fold's genuine and impostor pairs."""
    return {
        (
            fold,
            sum(row[2] == 1 and row[3] == fold for row in found),
            sum(row[2] == 0 and row[3] == fold for row in found),
        )
        for fold in {row[3] for row in found}
    }


def ten_folds(genuine: int, impostors: int) -> set[tuple[str, int, int]]:
    return {(str(fold), genuine, impostors) for fold in range(1, 11)}


def test_lfw(tmp_path: Path) -> None:
    official.lfw(tmp_path / "pairs.txt")
    pairs = open_protocol("lfw", tmp_path)
    found = rows(pairs)
    assert shape(found) == ten_folds(300, 300)
    assert found[0] == ("Al_0/Al_0_0001.jpg", "Al_0/Al_0_0002.jpg", 1, "1")
    assert found[-1] == ("Al_9/Al_9_0300.jpg", "Al_z/Al_z_0300.jpg", 0, "10")
    assert next(iter(pairs.chunks())).lines[0] == 2
    assert pairs.files == (tmp_path / "pairs.txt",)
    assert pairs.group_names == ()


def test_lfw_headers(tmp_path: Path) -> None:
    one = open_protocol("lfw", official.lfw(tmp_path / "pairsDevTest.txt", 1, 500, "500"))
    assert shape(rows(one)) == {("", 500, 500)}
    assert not one.has_folds
    two = open_protocol("lfw", official.lfw(tmp_path / "small.txt", 2, 3, "2 3"))
    assert shape(rows(two)) == {("1", 3, 3), ("2", 3, 3)}
    bare = official.write(tmp_path / "bare.txt", official.lfw_lines(), "\r\n")
    assert shape(rows(open_protocol("lfw", bare))) == ten_folds(300, 300)


def test_rfw_keeps_the_subjects_of_two_races_apart(tmp_path: Path) -> None:
    pairs = open_protocol("rfw", official.rfw(tmp_path))
    assert pairs.group_names == ("race",)
    assert pairs.has_folds
    assert len(pairs.files) == 4
    chunks = list(pairs.chunks())
    assert [set(chunk.groups["race"].values) for chunk in chunks] == [{r} for r in official.RACES]
    assert all(len(chunk) == 6000 for chunk in chunks)
    probes = [set(chunk.probes.values) for chunk in chunks]
    assert not probes[0] & probes[1]
    assert "Indian/m.0a0/m.0a0_0001.jpg" in probes[3]
    assert shape(rows(pairs)) == ten_folds(1200, 1200)


@pytest.mark.parametrize(
    ("name", "file"), [("calfw", "pairs_CALFW.txt"), ("cplfw", "pairs_CPLFW.txt")]
)
def test_calfw_is_interleaved(tmp_path: Path, name: str, file: str) -> None:
    lines = official.calfw(tmp_path / file).read_text().splitlines()
    pairs = [(lines[2 * i].split()[0], lines[2 * i + 1].split()[0]) for i in range(6000)]
    expected = [
        (*pairs[i], int(i < 3000), str(fold + 1))
        for fold in range(10)
        for i in range(6000)
        if i % 3000 // 300 == fold
    ]
    found = rows(open_protocol(name, tmp_path))
    assert found == expected
    assert shape(found) == ten_folds(300, 300)


def test_cfp_counts_from_one(tmp_path: Path) -> None:
    official.cfp(tmp_path)
    frontal, profile = (rows(open_protocol(f"cfp-{kind}", tmp_path)) for kind in ("ff", "fp"))
    assert shape(frontal) == shape(profile) == ten_folds(350, 350)
    first = "Data/Images/001/frontal/01.jpg"
    assert frontal[0] == (first, "Data/Images/002/frontal/01.jpg", 1, "1")
    assert profile[0] == (first, "Data/Images/002/profile/01.jpg", 1, "1")
    assert profile[-1][:3] == (
        "Data/Images/350/frontal/01.jpg",
        "Data/Images/750/profile/01.jpg",
        0,
    )
    again = open_protocol("cfp-fp", tmp_path / "Protocol")
    assert rows(again) == profile
    assert len(again.files) == 22


def test_agedb_of_matlab(tmp_path: Path) -> None:
    official.agedb(tmp_path / "AgeDB" / "04_FINAL_protocol_30_years.mat")
    found = rows(open_protocol("agedb", tmp_path))
    assert shape(found) == ten_folds(200, 400)
    place = "03_Protocol_Images/0_A{}_{}_30_m.jpg".format
    assert found[0] == (place(0, 0), place(0, 1), 1, "1")
    assert found[1] == (place(1, 0), place(1, 1), 0, "1")


def test_agedb_of_text(tmp_path: Path) -> None:
    lines = [f"{2 * i}.jpg {2 * i + 1}.jpg {1 if i % 600 < 300 else -1}" for i in range(6000)]
    official.write(tmp_path / "agedb_30_pair.txt", lines)
    found = rows(open_protocol("agedb", tmp_path))
    assert shape(found) == ten_folds(300, 300)
    assert found[300] == ("600.jpg", "601.jpg", 0, "1")


def test_ytf_strips_spaces(tmp_path: Path) -> None:
    official.ytf(tmp_path / "splits.txt")
    pairs = open_protocol("ytf", tmp_path)
    found = rows(pairs)
    assert shape(found) == ten_folds(250, 250)
    assert found[0] == ("Ann_1/1", "Bob_1/0", 1, "1")
    assert pairs.unit == "videos"


@pytest.mark.parametrize("count", [20, 23])
def test_bins_have_consecutive_folds(tmp_path: Path, count: int) -> None:
    from sklearn.model_selection import KFold

    labels = [bool(i % 2) for i in range(count)]
    images = [IMAGES[i % 4] for i in range(2 * count)]
    (tmp_path / "python2.bin").write_bytes(python2(images, labels, arrays=False))
    found = rows(open_protocol("insightface-bin", tmp_path))
    expected = {
        row: str(fold)
        for fold, (_, held) in enumerate(KFold(10).split(np.arange(count)), start=1)
        for row in held
    }
    assert [row[3] for row in found] == [expected[i] for i in range(count)]
    assert [row[:3] for row in found][:2] == [("000000", "000001", 0), ("000002", "000003", 1)]
    (tmp_path / "two.bin").write_bytes(pickle.dumps((images, labels), 2))
    with pytest.raises(InputError, match=r"holds python2\.bin, two\.bin; expected one"):
        open_protocol("insightface-bin", tmp_path)


def test_ijb_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_csv, "_BLOCK_BYTES", 64)
    lines = [f"{i} {11000 + i % 3} {int(i % 4 == 0)}" for i in range(1, 41)]
    path = official.write(tmp_path / "list.txt", lines)
    pairs = IjbPairs(path, 40)
    assert len(list(pairs.chunks())) > 2
    assert rows(pairs) == [(a, b, int(c), "") for a, b, c in map(str.split, lines)]
    assert [line for chunk in pairs.chunks() for line in chunk.lines] == list(range(1, 41))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 2 1", "1 3 0"], r"2 pairs; expected 3"),
        (["1 2 1", "1 3 0", "4 5"], r"row 3: '4 5'; expected rows 't1 t2 label'"),
        (["1 2 1", "1 x 0", "4 5 0"], r"row 2: 'x'; expected rows"),
        (["1 2 1", "1 3 -1", "4 5 0"], r"row 2: label -1; expected 1 or 0"),
    ],
)
def test_ijb_damaged(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rows(IjbPairs(official.write(tmp_path / "list.txt", lines), 3))


def test_what_ijb_is_told_in(tmp_path: Path) -> None:
    assert PROTOCOLS["ijbc"].metric == "tar"
    assert PROTOCOLS["ijbc"].fars == IJB_FARS == (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    for name, count in (("ijbb", "8,010,270"), ("ijbc", "15,658,489")):
        official.write(tmp_path / "meta" / f"{name}_template_pair_label.txt", ["1 2 1"])
        with pytest.raises(InputError, match=f"1 pairs; expected {count}"):
            rows(open_protocol(name, tmp_path))


def test_trials(tmp_path: Path) -> None:
    official.write(tmp_path / "veri_test.txt", ["1 a/1.wav b/1.wav", "0 a/1.wav c/1.wav"])
    assert rows(open_protocol("trials", tmp_path))[0] == ("a/1.wav", "b/1.wav", 1, "")
    with pytest.raises(InputError, match="carries no labels"):
        open_protocol("trials", official.write(tmp_path / "x.txt", ["a b", "c d"]))


def cut(path: Path, lines: int) -> None:
    kept = path.read_text().splitlines()[:-lines]
    path.write_text("".join(f"{line}\n" for line in kept))


def replaced(path: Path, row: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[row - 1] = text
    path.write_text("".join(f"{line}\n" for line in lines))


CFP = Path("Protocol")
RFW = Path("txts/Asian/Asian_pairs.txt")
WRITERS: dict[str, Callable[[Path], object]] = {
    "lfw": lambda root: official.lfw(root / "pairs.txt"),
    "rfw": official.rfw,
    "calfw": lambda root: official.calfw(root / "pairs_CALFW.txt"),
    "cfp-fp": official.cfp,
    "ytf": lambda root: official.ytf(root / "splits.txt"),
}


@pytest.mark.parametrize(
    ("name", "file", "change", "message"),
    [
        ("lfw", "pairs.txt", partial(cut, lines=1), r"5,999 pairs; expected 6,000, as its header"),
        ("lfw", "pairs.txt", partial(replaced, row=2, text="A\t1\tB\t2"), r"row 2: .*is genuine"),
        ("lfw", "pairs.txt", partial(replaced, row=302, text="A\t1\t2"), r"row 302: .*is impostor"),
        ("lfw", "pairs.txt", partial(replaced, row=5, text="A\t1\tx"), r"row 5: image 'x'"),
        (
            "lfw",
            "pairs.txt",
            partial(replaced, row=5, text="A\t1\t" + "9" * 5000),
            r"image '9{40}'",
        ),
        ("lfw", "pairs.txt", partial(replaced, row=1, text="ten 300"), r"row 1: header 'ten'"),
        ("lfw", "pairs.txt", partial(replaced, row=1, text="0 300"), r"row 1: header '0 300'"),
        ("lfw", "pairs.txt", partial(replaced, row=1, text="10 301"), r"row 302: .*is genuine"),
        ("rfw", RFW, partial(cut, lines=9), r"Asian_pairs.txt: 5,991 pairs; expected 6,000"),
        ("rfw", RFW, Path.unlink, r"Asian_pairs.txt: no such file"),
        ("calfw", "pairs_CALFW.txt", partial(cut, lines=1), "11,999 lines; expected 12,000"),
        ("calfw", "pairs_CALFW.txt", partial(cut, lines=2), "11,998 lines; expected 12,000"),
        (
            "calfw",
            "pairs_CALFW.txt",
            partial(replaced, row=9, text="a.jpg 0"),
            "row 9: .*other than 0",
        ),
        (
            "calfw",
            "pairs_CALFW.txt",
            partial(replaced, row=6001, text="a.jpg 1"),
            "row 6001: .*label 0",
        ),
        ("calfw", "pairs_CALFW.txt", partial(replaced, row=7, text="a.jpg"), r"row 7: 'a\.jpg'"),
        ("cfp-fp", CFP / "Split/FP/03/diff.txt", partial(cut, lines=1), r"03/diff.txt: 349 pairs"),
        ("cfp-fp", CFP / "Split/FP/10/same.txt", Path.unlink, r"10/same.txt: no such file"),
        (
            "cfp-fp",
            CFP / "Pair_list_P.txt",
            partial(cut, lines=100),
            r"image 701; expected 1 to 700",
        ),
        (
            "cfp-fp",
            CFP / "Pair_list_F.txt",
            partial(replaced, row=4, text="5 a.jpg"),
            "row 4: .*number 4",
        ),
        (
            "cfp-fp",
            CFP / "Split/FP/01/same.txt",
            partial(replaced, row=1, text="0,1"),
            "row 1: image 0",
        ),
        (
            "cfp-fp",
            CFP / "Split/FP/01/same.txt",
            partial(replaced, row=1, text="1"),
            "expected 'i,j'",
        ),
        ("ytf", "splits.txt", partial(cut, lines=1), "4,999 pairs; expected 5,000"),
        ("ytf", "splits.txt", partial(replaced, row=2, text="1, 1, a, b, 1"), "row 2: '1, 1, a"),
        ("ytf", "splits.txt", partial(replaced, row=2, text="2, 1, a, b, 1, 1"), "split 1: 499"),
    ],
)
def test_what_is_cut_short_or_wrong(
    tmp_path: Path, name: str, file: str, change: Callable[[Path], object], message: str
) -> None:
    WRITERS[name](tmp_path)
    change(tmp_path / file)
    with pytest.raises(InputError, match=message):
        rows(open_protocol(name, tmp_path))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"folds": 9}, "9 splits; expected 10"),
        ({"size": 599}, "split 1: 599 pairs; expected 600"),
        ({"impostor": 2.0}, r"split 1: label 2\.0 of pair 2; expected 1 or -1"),
    ],
)
def test_agedb_cut_short(tmp_path: Path, made: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_protocol("agedb", official.agedb(tmp_path / "a.mat", **made))


def test_agedb_of_another_layout(tmp_path: Path) -> None:
    whole = official.agedb(tmp_path / "a.mat").read_bytes()
    (tmp_path / "b.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.mat").write_bytes(b"nothing of the kind")
    for name in "bc":
        with pytest.raises(InputError, match="no readable MATLAB file"):
            open_protocol("agedb", tmp_path / f"{name}.mat")
    official.savemat(tmp_path / "d.mat", {"splits": np.zeros((10, 1)), "other": 1})
    with pytest.raises(InputError, match="split 1 is of another layout"):
        open_protocol("agedb", tmp_path / "d.mat")
    official.savemat(tmp_path / "e.mat", {"pairs": 1})
    with pytest.raises(InputError, match="holds no 'splits'"):
        open_protocol("agedb", tmp_path / "e.mat")
    lines = ["a.jpg b.jpg 1"] * 5999
    text = official.write(tmp_path / "p.txt", lines)
    with pytest.raises(InputError, match="5,999 pairs; expected 6,000"):
        open_protocol("agedb", text)
    replaced(text, 3, "a.jpg b.jpg 2")
    with pytest.raises(InputError, match=r"row 3: .*expected two images and a label"):
        open_protocol("agedb", text)


@pytest.mark.parametrize("name", opening.PROTOCOLS)
def test_where_it_looked(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"holds no pairs of .*; looked for") as caught:
        open_protocol(name, tmp_path)
    assert all(place in str(caught.value) for place in PROTOCOLS[name].places)
    with pytest.raises(InputError, match="no such folder"):
        open_protocol(name, tmp_path / "none")


def test_no_such_protocol(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no protocol 'lfv'; expected one of lfw, calfw"):
        open_protocol("lfv", tmp_path)
