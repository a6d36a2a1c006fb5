"""Inputs that are lists and documents: pairs, scores, templates, and what was made of scores."""

from __future__ import annotations

from tests.faults import damage_documents as documents
from tests.faults import damage_text as texts
from tests.faults.damage import CUT_BINARY, FLIP_DATA, NO_FILE, foreign
from tests.faults.kinds import (
    ANCHORS,
    CALIBRATE,
    EMB,
    NONE,
    PAIRS,
    REPORT,
    SWEEP,
    C,
    Kind,
    S,
)

SIDES = f"-e {EMB} -a {ANCHORS}"
PAIR_READERS = (
    f"score {{it}} {SIDES} {S}",
    f"compare {{it}} {SIDES} {C}",
    f"sweep {{it}} {SIDES} {SWEEP}",
    f"sweep {PAIRS} {SIDES} --dev {{it}} --best-at 0.1 {SWEEP}",
    f"calibrate {{it}} {SIDES} {CALIBRATE}",
)
SCORE_READERS = (
    f"evaluate {{it}} {NONE}",
    "evaluate {it} --threshold-at 0.1 -o {out}/t.json --force --resamples 0",
    f"evaluate {{good}}/scores.csv --baseline {{it}} {NONE}",
    f"report {{it}} {REPORT}",
    f"report {{good}}/scores.csv {{it}} {REPORT}",
)
LIST = (*NO_FILE, *foreign())
FEW = (*NO_FILE, *foreign()[:4])
POOL = "-o {out}/t.h5 --force"
TRIALS = (
    *texts.ragged(7, " "),
    texts.LATIN1,
    texts.cell("label-2", 7, 0, "2", "row 7: label '2'", " "),
    texts.cell("unknown-id", 7, 1, "nobody", "row 7", " "),
)
POINTS = "p000/0 38 51 73 51 56 71 41 92 70 92 "
KINDS = (
    Kind("pairs", "pairs.csv", (*LIST, *texts.PAIRS), PAIR_READERS[:1]),
    Kind("pairs", "pairs.csv", (*FEW, *texts.PAIRS[:4], texts.PAIRS[6]), PAIR_READERS[1:]),
    Kind("pairs-gz", "pairs.csv.gz", (*NO_FILE, *CUT_BINARY, *FLIP_DATA), PAIR_READERS[:1]),
    Kind("pairs-zst", "pairs.csv.zst", (*NO_FILE, *CUT_BINARY, *FLIP_DATA), PAIR_READERS[:1]),
    Kind("pairs-parquet", "pairs.parquet", (*LIST, *CUT_BINARY, *FLIP_DATA), PAIR_READERS[:1]),
    Kind("trials", "trials.txt", (*NO_FILE, *TRIALS), PAIR_READERS[:1]),
    Kind(
        "trials-as-protocol",
        "trials.txt",
        (*FEW, *TRIALS[:-1]),
        (
            f"score --protocol trials --root {{it}} -e {EMB} {S}",
            "pairs --protocol trials --root {it} -o {out}/p.csv --force",
        ),
    ),
    Kind("scores", "scores.csv", (*LIST, *texts.SCORES), SCORE_READERS[:1]),
    Kind("scores", "scores.csv", (*FEW, *texts.SCORES[:7]), SCORE_READERS[1:]),
    Kind("scores-parquet", "scores.parquet", (*LIST, *CUT_BINARY, *FLIP_DATA), SCORE_READERS[:1]),
    Kind(
        "scores-about",
        "scores.csv.about.json",
        (*FEW[3:], *documents.ABOUT),
        (f"evaluate {{inputs}}/scores.csv --threshold {{good}}/threshold.json {NONE}",),
        beside=("scores.csv",),
    ),
    Kind(
        "templates",
        "templates.csv",
        (*LIST, *texts.TEMPLATES),
        (f"pool {EMB} -t {{it}} {POOL}",),
    ),
    Kind(
        "templates-of-ijb",
        "ijbc/meta/ijbc_face_tid_mid.txt",
        (*FEW, *texts.ragged(7, " "), *texts.LINES),
        (f"pool {{good}}/ijbc/images.h5 -t {{it}} {POOL}",),
    ),
    Kind(
        "detector-scores",
        "ijbc/meta/ijbc_name_5pts_score.txt",
        (
            *FEW,
            *texts.ragged(7, " "),
            *texts.LINES,
            texts.cell("score-nan", 7, 11, "nan", "row 7", " "),
            texts.cell("score-below-0", 7, 11, "-1", "score -1", " "),
            texts.line("unknown-image", 7, lambda old: "x" + old, "no score"),
        ),
        (
            "pool {good}/ijbc/images.h5 -t {good}/ijbc/meta/ijbc_face_tid_mid.txt "
            f"--detector-scores {{it}} {POOL}",
        ),
    ),
    Kind(
        "excluded-ids",
        "exclude.txt",
        (*NO_FILE, *foreign("json", "html", "prose"), texts.LINES[1]),
        (f"build-anchors {EMB} --exclude-ids {{it}} -o {{out}}/a.h5 --force",),
    ),
    Kind(
        "excluded-subjects",
        "people.txt",
        (*NO_FILE, *foreign("json", "html", "prose"), texts.LINES[1]),
        (f"build-anchors {EMB} --exclude-subjects {{it}} -o {{out}}/a.h5 --force",),
    ),
    Kind(
        "ids-of-an-npy",
        "emb.ids.csv",
        (
            *NO_FILE,
            *foreign(),
            *texts.ragged(7),
            texts.LATIN1,
            texts.LAST_LINE_MISSING,
            texts.cell("empty-id", 7, 0, "", "row"),
            texts.line("same-id", 7, lambda old: "p000/0,p000", "p000/0"),
        ),
        ("convert {good}/emb.npy --ids {it} -o {out}/c.h5 --force",),
        named=("good0/emb.npy, row",),
    ),
    Kind(
        "calibration",
        "calibration.json",
        (*LIST, *documents.CALIBRATION),
        (f"score {PAIRS} {SIDES} --calibration {{it}} {S}",),
    ),
    Kind(
        "calibration",
        "calibration.json",
        (*FEW, *documents.CALIBRATION[-8:]),
        (f"compare {PAIRS} {SIDES} --calibration {{it}} {C}",),
    ),
    Kind(
        "threshold",
        "threshold.json",
        (*LIST, *documents.THRESHOLD),
        (f"score {PAIRS} {SIDES} --threshold {{it}} {S}",),
    ),
    Kind(
        "threshold",
        "threshold.json",
        (*FEW, *documents.THRESHOLD[-8:]),
        (f"evaluate {{good}}/scores.csv --threshold {{it}} {NONE}",),
    ),
    Kind(
        "sweep",
        "sweep.csv",
        (*LIST, *documents.SWEEP),
        (f"report {{good}}/scores.csv --sweep {{it}} {REPORT}",),
    ),
    Kind(
        "sweep-json",
        "sweep.json",
        (*LIST, *documents.SWEEP_JSON),
        (f"report {{good}}/scores.csv --sweep {{it}} {REPORT}",),
    ),
)
