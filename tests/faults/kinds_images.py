"""Inputs that are images in any packing, models, runs of training and its settings."""

from __future__ import annotations

from tests.faults import damage_documents as documents
from tests.faults import damage_images as packed
from tests.faults import damage_text as texts
from tests.faults.damage import (
    CUT_BINARY,
    EMPTY,
    FLIP_DATA,
    FLIP_HEAD,
    NO_FILE,
    NOT_THERE,
    cut,
    foreign,
)
from tests.faults.kinds import EMBED, MODEL, TRAIN, Kind

SOURCES = (f"embed {{it}} {EMBED}",)
TRAINED = (f"train {{it}} -o {{out}}/run {TRAIN}",)
WITH = f"embed {{good}}/photos {MODEL} -o {{out}}/e.h5 --force"
FILE = (*NO_FILE, *foreign())
FEW = (*NO_FILE, *foreign()[:4])
WHOLE = (*CUT_BINARY, *FLIP_DATA)
CENTRES = ("build-anchors {it} --kind fc-weights -o {out}/a.h5 --force ",)
FAKES = (
    f"build-anchors --kind fake-db -o {{out}}/a.h5 --force --size 8 --image-size 112x112 {MODEL}"
)
STATE = "run/checkpoints/step-00000002/state.pt"
RESUME = (
    f"train {{good}}/photos -o {{inputs}}/run {TRAIN.replace('--steps 1', '--steps 3')} --resume"
)
KINDS = (
    Kind(
        "image",
        "photos/p1/2.png",
        (EMPTY, *foreign("jpeg"), *CUT_BINARY[:3], *FLIP_HEAD),
        (f"embed {{inputs}}/photos {EMBED} --strict",),
    ),
    Kind("images-bin", "faces.bin", (*FILE, *packed.BIN), SOURCES),
    Kind("images-rec", "faces.rec", (*FILE, *packed.RECORDS), SOURCES),
    Kind("images-rec-and-idx", "faces.rec", (*FEW, *packed.RECORDS[:2]), SOURCES, ("faces.idx",)),
    Kind(
        "images-idx",
        "faces.idx",
        (*foreign(), *packed.INDEX),
        (f"embed {{inputs}}/faces.rec {EMBED} --strict",),
        beside=("faces.rec",),
        named=("faces.rec",),
    ),
    Kind("images-npy", "faces.npy", (*FILE, *CUT_BINARY, *FLIP_HEAD, *packed.IMAGES_NPY), SOURCES),
    Kind("images-npz", "faces.npz", (*FILE, *WHOLE), SOURCES),
    Kind("images-list", "list.csv", (*FILE, *packed.LIST), SOURCES, beside=("photos",)),
    Kind("training-list", "list.csv", (*FEW, *packed.LIST), TRAINED, beside=("photos",)),
    Kind("training-rec", "faces.rec", (*FEW, *packed.RECORDS[:2]), TRAINED),
    Kind(
        "validation-bin",
        "faces.bin",
        (*FEW, *packed.BIN[:4]),
        (f"train {{good}}/photos -o {{out}}/run {TRAIN} --validate {{it}}",),
    ),
    Kind(
        "landmarks",
        "landmarks.csv",
        (*FILE, *packed.LANDMARKS),
        (f"{WITH} --model {{good}}/model.onnx --landmarks {{it}}",),
    ),
    Kind(
        "detector",
        "detector.onnx",
        (*FEW, *CUT_BINARY[:3]),
        (f"{WITH} --model {{good}}/model.onnx --detector {{it}}",),
    ),
    Kind("model-onnx", "model.onnx", (*FILE, *WHOLE), (f"{WITH} --model {{it}}",)),
    Kind(
        "model-script",
        "script.pt",
        (*FILE, *CUT_BINARY),
        (f"{WITH} --size 112x112 --model {{it}}",),
    ),
    Kind(
        "model-weights",
        "weights.pth",
        (*FILE, *CUT_BINARY, *FLIP_DATA),
        (f"{WITH} --size 112x112 --model {{it}} --arch tests.architectures:Net",),
    ),
    Kind(
        "model-safetensors",
        "weights.safetensors",
        (*FILE, *CUT_BINARY, *FLIP_DATA),
        (f"{WITH} --size 112x112 --model {{it}} --arch tests.architectures:Net",),
    ),
    Kind(
        "model-whose-digest-is-recorded",
        "model.onnx",
        NO_FILE[:5],
        ("convert {good}/emb.h5 -o {out}/c.h5 --force --model {it}",),
    ),
    Kind(
        "generator",
        "generator.onnx",
        (*FEW, *CUT_BINARY),
        (f"{FAKES} --generator {{it}} --model {{good}}/model.onnx",),
    ),
    Kind(
        "model-of-fakes",
        "model.onnx",
        (*FEW, *CUT_BINARY[:2]),
        (f"{FAKES} --generator {{good}}/generator.onnx --model {{it}}",),
    ),
    Kind("centres-npy", "centres.npy", (*FILE, *CUT_BINARY, *FLIP_HEAD), CENTRES),
    Kind("centres-npz", "centres.npz", (*FILE, *WHOLE), CENTRES),
    Kind("centres-onnx", "centres.onnx", (*FILE, *CUT_BINARY), CENTRES),
    Kind("centres-safetensors", "centres.safetensors", (*FILE, *WHOLE), CENTRES),
    Kind("centres-pt", "centres.pt", (*FILE, *CUT_BINARY), CENTRES),
    Kind(
        "labels",
        "labels.csv",
        (
            *FILE,
            *texts.ragged(5),
            texts.LATIN1,
            texts.LAST_LINE_MISSING,
            texts.cell("index-text", 5, 0, "four"),
            texts.cell("index-99", 5, 0, "99"),
            texts.cell("empty-label", 5, 1, ""),
        ),
        ("build-anchors {good}/centres.npy --kind fc-weights -o {out}/a.h5 --force --labels {it}",),
        named=("labels.csv",),
    ),
    Kind(
        "run-model",
        "run/model.onnx",
        (*NOT_THERE, EMPTY, *foreign()[:3]),
        (f"{WITH} --model {{inputs}}/run",),
    ),
    Kind(
        "run-centres",
        "run/centres.npy",
        (*NOT_THERE, EMPTY, *foreign()[:3], *CUT_BINARY),
        ("build-anchors {inputs}/run --kind fc-weights -o {out}/a.h5 --force",),
    ),
    Kind(
        "run-classes",
        "run/classes.csv",
        (*NOT_THERE, EMPTY, *foreign()[:3], texts.LAST_LINE_MISSING),
        ("build-anchors {inputs}/run --kind fc-weights -o {out}/a.h5 --force",),
    ),
    Kind(
        "run-checkpoint",
        STATE,
        (*NOT_THERE, EMPTY, *foreign()[:3], *CUT_BINARY),
        ("export {inputs}/run -o {out}/m.onnx --force", RESUME),
    ),
    Kind(
        "run-options",
        "run/options.json",
        (
            EMPTY,
            *foreign(),
            *cut(0.3, -3),
            documents.entry("version-99", "schema_version", 99),
            documents.entry("options-list", "options", []),
            documents.entry("steps-text", "options.steps", "two"),
        ),
        (RESUME,),
    ),
    Kind(
        "recipe",
        "recipe.toml",
        (*FILE, *documents.TOML),
        (f"train {{good}}/photos -o {{out}}/run {TRAIN} --config {{it}}",),
    ),
)
