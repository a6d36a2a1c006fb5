"""Inputs that are the official files of protocols."""

from __future__ import annotations

from dataclasses import replace

from tests.faults import damage_text as texts
from tests.faults.damage import CUT_BINARY, FLIP_DATA, NO_FILE, foreign
from tests.faults.damage_images import BIN, official
from tests.faults.kinds import IDENTIFY, Kind


def pairs(protocol: str, folder: str) -> tuple[str, ...]:
    return (f"pairs --protocol {protocol} --root {{inputs}}/{folder} -o {{out}}/p.csv --force",)


FILE = (*NO_FILE, *foreign())
FEW = (*NO_FILE, *foreign()[:2])
SPLIT = "cfp/Protocol/Split/FP/03/diff.txt"
GALLERY = "ijbc/meta/ijbc_1N_gallery_G2.csv"
SEARCH = (
    f"identify --protocol ijbc --root {{inputs}}/ijbc -e {{good}}/ijbc/templates.h5 {IDENTIFY}",
)
IJB = (
    *official(7, mark=" "),
    texts.cell("label-2", 7, 2, "2", "label 2", " "),
)
ROWS = (
    *texts.ragged(7),
    texts.LATIN1,
    texts.recoded("utf-16"),
    replace(texts.LAST_LINE_MISSING, silent=True),  # of two that say the same
    texts.cell("subject-text", 7, 1, "bob", "row 7"),
    texts.cell("another-header", 1, 0, "TEMPLATE", "no column TEMPLATE_ID"),
    texts.line("another-subject", 3, lambda old: old.replace(",", ",9", 1), "row 3"),
)
KINDS = (
    Kind("lfw", "lfw/pairs.txt", (*FILE, *official(7)), pairs("lfw", "lfw")),
    Kind(
        "rfw",
        "rfw/txts/Indian/Indian_pairs.txt",
        (*FEW, *official(7)),
        pairs("rfw", "rfw"),
    ),
    Kind(
        "calfw",
        "calfw/pairs_CALFW.txt",
        (*FILE, *(one for one in official(7, mark=" ") if one.name != "a-cell-too-many")),
        pairs("calfw", "calfw"),
    ),
    Kind(
        "cfp-images",
        "cfp/Protocol/Pair_list_P.txt",
        (
            *FEW,
            *(
                one
                for one in official(7)
                if one.name not in ("a-cell-too-many", "last-line-missing")
            ),
        ),
        pairs("cfp-fp", "cfp"),
        named=("Split/FP/",),
    ),
    Kind("cfp-split", SPLIT, (*FEW, *official(7, mark=",")), pairs("cfp-fp", "cfp")),
    Kind(
        "agedb-matlab",
        "agedb/04_FINAL_protocol_30_years.mat",
        (*FEW, *foreign()[2:6], *CUT_BINARY[:2], *FLIP_DATA[:2]),
        pairs("agedb", "agedb"),
    ),
    Kind(
        "agedb-text",
        "agedb_text/agedb_30_pair.txt",
        (*FEW, *official(7, mark=" ")),
        pairs("agedb", "agedb_text"),
    ),
    Kind("ytf", "ytf/splits.txt", (*FILE, *official(7, mark=",")), pairs("ytf", "ytf")),
    Kind(
        "bin",
        "bins/lfw.bin",
        (*FILE, *BIN),
        pairs("insightface-bin", "bins"),
        named=("in/bins:",),
    ),
    Kind(
        "ijb-pairs",
        "ijbc/meta/ijbc_template_pair_label.txt",
        (*FILE, *IJB),
        pairs("ijbc", "ijbc"),
    ),
    Kind("ijb-probes", "ijbc/meta/ijbc_1N_probe_mixed.csv", (*FILE, *ROWS), SEARCH),
    Kind("ijb-gallery", GALLERY, (*FEW, *ROWS), SEARCH),
)
