"""Official protocol files, written as those who made them laid them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

RACES = ("African", "Asian", "Caucasian", "Indian")


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def lfw_lines(folds: int = 10, size: int = 300, name: str = "Al_{}") -> list[str]:
    lines: list[str] = []
    for fold in range(folds):
        one, other = name.format(fold), name.format("z")
        lines += [f"{one}\t{i}\t{i + 1}" for i in range(1, size + 1)]
        lines += [f"{one}\t{i}\t{other}\t{i}" for i in range(1, size + 1)]
    return lines


def lfw(path: Path, folds: int = 10, size: int = 300, header: str = "10\t300") -> Path:
    return write(path, [header, *lfw_lines(folds, size)])


def rfw(root: Path) -> Path:
    for race in RACES:
        # the same subjects under every race: real RFW has twelve of them under two
        write(root / "txts" / race / f"{race}_pairs.txt", lfw_lines(name="m.0a{}"))
    return root


def calfw(path: Path) -> Path:
    genuine = [f"G{i}_{side}.jpg {i // 300 + 1}" for i in range(3000) for side in (1, 2)]
    impostors = [f"I{i}_{side}.jpg 0" for i in range(3000) for side in (1, 2)]
    return write(path, genuine + impostors)


def cfp(root: Path) -> Path:
    folder = root / "Protocol"
    for side, count, kind in (("F", 900, "frontal"), ("P", 800, "profile")):
        rows = [f"{i} ../Data/Images/{i:03d}/{kind}/01.jpg" for i in range(1, count + 1)]
        write(folder / f"Pair_list_{side}.txt", rows, "\r\n")
    for kind in ("FF", "FP"):
        for fold in range(1, 11):
            place = folder / "Split" / kind / f"{fold:02d}"
            write(place / "same.txt", [f"{i},{i + fold}" for i in range(1, 351)])
            write(place / "diff.txt", [f"{i},{i + 400}" for i in range(1, 351)])
    return root


def agedb(path: Path, *, folds: int = 10, size: int = 600, impostor: float = -1) -> Path:
    splits = np.empty((folds, 1), dtype=object)
    for fold in range(folds):
        images = np.empty((2, size), dtype=object)
        for place in range(size):
            for side in range(2):
                images[side, place] = {"name": f"{fold}_A{place}_{side}_30_m", "age": 30.0}
        labels = np.where(np.arange(size) % 3, impostor, 1.0).reshape(1, size)
        splits[fold, 0] = {"pairs": images, "labels": labels}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"splits": splits})
    return path


def ytf(path: Path) -> Path:
    lines = ["split number, pair number, first name, second name, same name, is same"]
    for fold in range(1, 11):
        for pair in range(1, 501):
            same = int(pair <= 250)
            lines.append(f"{fold}, {pair}, Ann_{fold}/{pair} , Bob_{pair}/0, {same}, {same}")
    return write(path, lines)


def search_list(path: Path, subjects: dict[str, str], images: int = 2) -> Path:
    """Write a 1:N list of IJB-B or IJB-C: a row for each image of each template."""
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"
    rows = [
        f"{template},{subject},img/{template}{image}.jpg,{image},12,30,101,140"
        for template, subject in subjects.items()
        for image in range(images)
    ]
    return write(path, [header, *rows], "\r\n")


def search_lists(root: Path) -> Path:
    """Write IJB-C's 1:N lists, small: 24 probes of 12 people, six of them in each gallery."""
    people = [str(3 * number + 1) for number in range(12)]
    probes = {str(number): people[number % 12] for number in range(24)}
    search_list(root / "meta" / "ijbc_1N_probe_mixed.csv", probes)
    for which in (0, 1):
        entries = {str(100 + number): people[number] for number in range(which, 12, 2)}
        search_list(root / "meta" / f"ijbc_1N_gallery_G{which + 1}.csv", entries)
    return root
