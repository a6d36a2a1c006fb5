"""The parsers, each with a sound file to start from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from damcli.models.checkpoints import list_tensors, read_tensor
from damcli.models.labels import read_labels
from damcli.models.onnx_file import check_file
from damcli.models.onnx_network import open_onnx
from damcli.protocols.agedb import read_agedb
from damcli.protocols.bins import read_insightface_bin
from damcli.protocols.calfw import read_calfw
from damcli.protocols.cfp import read_cfp
from damcli.protocols.ijb_search import open_search
from damcli.protocols.lfw import read_lfw, read_rfw
from damcli.protocols.opening import PROTOCOLS
from damcli.protocols.pairs import read_pairs
from damcli.protocols.scores import ScoreChunk, ScoreList
from damcli.protocols.template_lists import read_templates
from damcli.protocols.trials import Trials
from damcli.protocols.ytf import read_ytf
from damcli.reports.sweep_file import read_sweep
from damcli.sources.landmarks import read_landmarks
from damcli.sources.opening import open_source
from damcli.storage.calibration import read_calibration
from damcli.storage.files import read_anchors, read_embeddings
from damcli.storage.foreign import read_id_list
from damcli.storage.lidr import read_lidr
from damcli.storage.lids import read_lids
from damcli.storage.logits import read_logits
from damcli.storage.made_with import read_about
from damcli.storage.threshold import read_threshold
from damcli.training.options import read_toml
from damcli.training.run_folder import RunFolder


@dataclass(frozen=True)
class Parser:
    """A parser.

    Attributes
    ----------
    name
        For the names of the tests.
    file
        A sound file, under the folder of these; with a folder before it, all of that is copied.
    read
        Reads the file whole.
    beside
        Further files to copy.
    """

    name: str
    file: str
    read: Callable[[Path], object]
    beside: tuple[str, ...] = ()

    def place(self, sound: Path, folder: Path) -> Path:
        """Copy what the parser needs; return where the content goes."""
        for name in (self.file.split("/")[0], *self.beside):
            if (sound / name).is_dir():
                shutil.copytree(sound / name, folder / name)
            else:
                shutil.copyfile(sound / name, folder / name)
        return folder / self.file


def _chunks(path: Path) -> None:
    for chunk in read_pairs(path).chunks():
        assert len(chunk.probes.values) == len(chunk.lines)


def _trials(path: Path) -> None:
    for _ in Trials(path).chunks():
        pass


def _scores(path: Path) -> None:
    listed = ScoreList(path)

    def take(chunk: ScoreChunk) -> None:
        assert len(chunk.labels) == len(chunk)
        for metric in listed.metrics:
            assert len(chunk.scores(metric)) == len(chunk)

    listed.read(take)


def _ijb(path: Path) -> None:
    for _ in PROTOCOLS["ijbc"].read(path).chunks():
        pass


def _images(path: Path) -> None:
    source = open_source(str(path))
    for row in range(min(len(source), 2)):
        assert source.id_of(row)
        source.subject_of(row)
        source.read(row)


def _indexed(path: Path) -> None:
    _images(path.with_suffix(".rec"))


def _about(path: Path) -> None:
    read_about(path.with_name("scores.csv"))


def _tensors(path: Path) -> None:
    for tensor in list_tensors(path):
        if len(tensor.shape) == 2:
            read_tensor(path, tensor)


PARSERS = (
    Parser("pairs", "pairs.csv", _chunks),
    Parser("pairs-parquet", "pairs.parquet", _chunks),
    Parser("pairs-gz", "pairs.csv.gz", _chunks),
    Parser("pairs-zst", "pairs.csv.zst", _chunks),
    Parser("trials", "trials.txt", _trials),
    Parser("scores", "older.csv", _scores),
    Parser("scores-parquet", "scores.parquet", _scores),
    Parser("templates", "templates.csv", read_templates),
    Parser("templates-of-ijb", "ijbc/meta/ijbc_face_tid_mid.txt", read_templates),
    Parser("ids", "emb.ids.csv", read_id_list),
    Parser("calibration", "calibration.json", read_calibration),
    Parser("threshold", "threshold.json", read_threshold),
    Parser("about", "scores.csv.about.json", _about, beside=("scores.csv",)),
    Parser("sweep", "sweep.csv", read_sweep),
    Parser("sweep-json", "sweep.json", read_sweep),
    Parser("recipe", "recipe.toml", read_toml),
    Parser("run-options", "run/options.json", lambda path: RunFolder(path.parent).read_record()),
    Parser("lfw", "lfw/pairs.txt", read_lfw),
    Parser("rfw", "rfw/txts/African/African_pairs.txt", read_rfw),
    Parser("calfw", "calfw/pairs_CALFW.txt", read_calfw),
    Parser("cfp", "cfp/Protocol/Pair_list_F.txt", partial(read_cfp, kind="FF")),
    Parser("agedb", "agedb_text/agedb_30_pair.txt", read_agedb),
    Parser("agedb-matlab", "agedb/04_FINAL_protocol_30_years.mat", read_agedb),
    Parser("ytf", "ytf/splits.txt", read_ytf),
    Parser("ijb-pairs", "ijbc/meta/ijbc_template_pair_label.txt", _ijb),
    Parser(
        "ijb-search", "ijbc/meta/ijbc_1N_probe_mixed.csv", lambda path: open_search("ijbc", path)
    ),
    Parser("bin-pairs", "bins/lfw.bin", read_insightface_bin),
    Parser("images-bin", "bins/lfw.bin", _images),
    Parser("images-rec", "faces.rec", _images, beside=("faces.idx",)),
    Parser("images-idx", "faces.idx", _indexed, beside=("faces.rec",)),
    Parser("images-npy", "pictures.npy", _images),
    Parser("images-list", "list.csv", _images, beside=("photos",)),
    Parser("image", "photos/p0/0.png", _images),
    Parser("landmarks", "landmarks.csv", read_landmarks),
    Parser("embeddings", "emb.h5", read_embeddings),
    Parser("embeddings-vectors.h5", "emb.vectors.h5", read_embeddings),
    Parser("anchors", "anchors.h5", read_anchors),
    Parser("lidr", "lidr.h5", read_lidr),
    Parser("lids", "kept/emb.h5.lids.h5", read_lids),
    Parser("embeddings-npy", "emb.npy", read_embeddings),
    Parser("embeddings-npz", "emb.npz", read_embeddings),
    Parser("embeddings-parquet", "emb.parquet", read_embeddings),
    Parser("logits", "logits.npz", read_logits),
    Parser("onnx", "model.onnx", check_file),
    Parser("onnx-network", "model.onnx", open_onnx),
    Parser("tensors-npz", "centres.npz", _tensors),
    Parser("tensors-safetensors", "centres.safetensors", _tensors),
    Parser("tensors-pt", "centres.pt", _tensors),
    Parser("tensors-onnx", "centres.onnx", _tensors),
    Parser("labels", "labels.csv", read_labels),
)
