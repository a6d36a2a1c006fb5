"""Inputs that hold vectors: embeddings of every layout, anchors, regressors, logits."""

from __future__ import annotations

from tests.faults import damage_arrays as arrays
from tests.faults import damage_hdf5 as hdf5
from tests.faults.damage import (
    CUT_BINARY,
    EMPTY,
    FLIP_DATA,
    FLIP_HEAD,
    FOLDER,
    NO_FILE,
    UNREADABLE,
    foreign,
)
from tests.faults.kinds import (
    ANCHORS,
    CALIBRATE,
    EMB,
    IDENTIFY,
    PAIRS,
    REPORT,
    SWEEP,
    C,
    Kind,
    S,
)

READ_WHOLE = (
    f"score {PAIRS} -e {{it}} -a {ANCHORS} {S}",
    "convert {it} -o {out}/c.h5 --force",
)
OTHER_READERS = (
    f"score {PAIRS} -e {EMB} --gallery {{it}} {S}",
    f"score --all-pairs -e {{it}} {S}",
    f"compare {PAIRS} -e {{it}} -a {ANCHORS} {C}",
    f"sweep {PAIRS} -e {{it}} -a {ANCHORS} {SWEEP}",
    f"sweep {PAIRS} -e {EMB} -a {ANCHORS} --dev {{good}}/dev.csv --dev-embeddings {{it}} "
    f"--best-at 0.1 {SWEEP}",
    f"calibrate {PAIRS} -e {{it}} -a {ANCHORS} {CALIBRATE}",
    f"report {{good}}/scores.csv -e {{it}} -a {ANCHORS} {REPORT}",
    f"identify {{it}} {EMB} -a {ANCHORS} {IDENTIFY}",
    f"identify {EMB} {{it}} -a {ANCHORS} {IDENTIFY}",
    "pairs {it} --all -o {out}/p.csv --force",
    "pool {it} --by subject -o {out}/t.h5 --force",
    "build-anchors {it} -o {out}/a.h5 --force --per-subject all",
    f"build-anchors {ANCHORS} --max-similarity-to {{it}}:0.9999 -o {{out}}/a.h5 --force",
    f"fit-lidr {{it}} -a {ANCHORS} -o {{out}}/l.h5 --iterations 2 --hidden 4 --force",
)
H5 = (*NO_FILE, *foreign("hdf5"), *hdf5.CONTAINER, *hdf5.VERSIONS, *hdf5.SHAPES)
ESSENTIAL = (
    *NO_FILE,
    *foreign()[:3],
    *CUT_BINARY[1:3],
    *hdf5.VERSIONS[:1],
    hdf5.LOST_PAGE,
    *hdf5.NUMBERS,
)
ANCHORS_READERS = (
    f"score {PAIRS} -e {EMB} -a {{it}} {S}",
    f"compare {PAIRS} -e {EMB} -a {{it}} {C}",
    f"sweep {PAIRS} -e {EMB} -a {{it}} {SWEEP}",
    f"calibrate {PAIRS} -e {EMB} -a {{it}} {CALIBRATE}",
    f"report {{good}}/scores.csv -e {EMB} -a {{it}} {REPORT}",
    f"identify {EMB} {EMB} -a {{it}} {IDENTIFY}",
    f"pool {EMB} --by subject -a {{it}} -o {{out}}/t.h5 --force",
    f"fit-lidr {EMB} -a {{it}} -o {{out}}/l.h5 --iterations 2 --hidden 4 --force",
)
LIDR_READERS = (
    f"score {PAIRS} -e {EMB} --lidr {{it}} {S}",
    f"compare {PAIRS} -e {EMB} --lidr {{it}} {C}",
    f"calibrate {PAIRS} -e {EMB} --lidr {{it}} {CALIBRATE}",
    f"identify {EMB} {EMB} --lidr {{it}} {IDENTIFY}",
    f"pool {EMB} --by subject --lidr {{it}} -o {{out}}/t.h5 --force",
    "export {it} -o {out}/l.onnx --force",
)
FORMATS = ("score {good}/pairs.csv -e {it} " + S, "convert {it} -o {out}/c.h5 --force", "info {it}")
IDS = ("--exclude-ids", "--exclude-subjects")

KINDS = (
    Kind("embeddings", "emb.h5", (*H5, *hdf5.NUMBERS), READ_WHOLE),
    Kind("embeddings", "emb.h5", ESSENTIAL, OTHER_READERS),
    Kind("embeddings-shown", "emb.h5", H5, ("info {it}",)),
    Kind(
        "embeddings-excluded",
        "emb.h5",
        (*NO_FILE, *hdf5.CONTAINER[:5], *hdf5.VERSIONS),
        tuple(f"build-anchors {ANCHORS} {option} {{it}} -o {{out}}/a.h5 --force" for option in IDS),
    ),
    Kind(
        "embeddings-of-templates",
        "ijbc/templates.h5",
        ESSENTIAL,
        (f"identify --protocol ijbc --root {{good}}/ijbc -e {{it}} {IDENTIFY}",),
    ),
    Kind(
        "embeddings-npy",
        "emb.npy",
        (*NO_FILE, *foreign("npy"), *CUT_BINARY, *FLIP_HEAD, *FLIP_DATA, *arrays.NPY),
        FORMATS[:2],
        beside=("emb.ids.csv",),
        named=("emb.ids.csv",),
    ),
    Kind(
        "embeddings-npz",
        "emb.npz",
        (*NO_FILE, *foreign(), *CUT_BINARY, *FLIP_DATA, *arrays.NPZ),
        FORMATS[:2],
    ),
    Kind(
        "embeddings-parquet",
        "emb.parquet",
        (*NO_FILE, *foreign(), *CUT_BINARY, *FLIP_DATA, *arrays.PARQUET),
        FORMATS[:2],
    ),
    Kind("embeddings-vectors.h5", "emb.vectors.h5", (EMPTY, *hdf5.CONTAINER), FORMATS),
    Kind("embeddings-npz-shown", "emb.npz", (*NO_FILE, *foreign()[:4], *CUT_BINARY), FORMATS[2:]),
    Kind(
        "anchors",
        "anchors.h5",
        (*H5, *hdf5.NUMBERS, *hdf5.KINDS_OF_ANCHORS),
        ANCHORS_READERS[:1],
    ),
    Kind("anchors", "anchors.h5", (*ESSENTIAL, *hdf5.KINDS_OF_ANCHORS), ANCHORS_READERS[1:]),
    Kind(
        "lidr",
        "lidr.h5",
        (*NO_FILE, *foreign(), *hdf5.CONTAINER, *hdf5.VERSIONS, *hdf5.LIDR),
        LIDR_READERS[:1],
    ),
    Kind("lidr", "lidr.h5", (*NO_FILE, *foreign()[:2], *hdf5.LIDR[:5]), LIDR_READERS[1:]),
    Kind(
        "kept-lids",
        "kept/emb.h5.lids.h5",
        (UNREADABLE, FOLDER, EMPTY, *foreign(), *hdf5.CONTAINER, *hdf5.VERSIONS),
        (f"score {PAIRS} -e {{inputs}}/kept/emb.h5 -a {ANCHORS} {S}", "info {it}"),
    ),
    Kind(
        "logits",
        "logits.npz",
        (
            *NO_FILE,
            *foreign(),
            *CUT_BINARY,
            *FLIP_DATA,
            arrays.npz("no-cosine", "cosine", cosine=None),
            arrays.npz("fewer", "cosine", cosine=lambda numbers: numbers[:-1]),
            arrays.npz("probability-nan", "row 3", probability=hdf5.row(2, float("nan"))),
            arrays.npz("probability-2", "row 3", probability=hdf5.row(2, 2.0)),
            arrays.npz("cosine-text", "cosine", cosine=lambda numbers: numbers.astype(str)),
            arrays.npz("nan", "row 3", embedding=hdf5.row(2, float("nan"))),
        ),
        (f"report {{good}}/scores.csv --logits {{it}} -a {ANCHORS} {REPORT}",),
    ),
)
