from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import onnxruntime
import pytest

from damcli.errors import InputError, OutputError, UserError
from damcli.lid import regressor
from damcli.lid.onnx_lidr import export_lidr
from damcli.lid.regressor import predict_log_lid
from damcli.lid.source import AnchorLid, RegressedLid, lid_source
from damcli.scoring.all_pairs import all_pairs
from damcli.scoring.score import score
from damcli.scoring.scorer import Metric
from damcli.storage.lidr import Layer, Lidr, is_lidr, read_lidr, write_lidr
from tests.faces import anchors, faces
from tests.lidrs import lidr


def slow(model: Lidr, vector: Any) -> float:
    (w1, b1), (w2, b2) = model.layers
    hidden = [
        max(0.0, sum(float(w) * float(x) for w, x in zip(row, vector, strict=True)) + float(b))
        for row, b in zip(w1, b1, strict=True)
    ]
    out = sum(float(w) * h for w, h in zip(w2[0], hidden, strict=True)) + float(b2[0])
    middle = math.log(min(model.k, model.anchor_count))
    least, largest = middle - model.s, middle + model.s
    if model.target == "g":
        out = math.log(max(out, math.exp(least)))
    return min(max(out, least), largest)


@pytest.mark.parametrize("target", ["g", "log-g"])
@pytest.mark.parametrize("s", [1.0, 0.05])
def test_the_forward_pass_is_two_layers(
    target: str, s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regressor, "_ROWS", 7)
    people, model = faces(), lidr(target=target, s=s)
    done: list[int] = []
    found = predict_log_lid(model, people, progress=done.append)
    assert found == pytest.approx([slow(model, row) for row in people.vectors], abs=1e-12)
    assert sum(done) == len(people)
    if s < 1:  # the range binds
        assert (
            np.isclose(found, model.log_range[0]).any()
            or np.isclose(found, model.log_range[1]).any()
        )


def test_the_forward_pass_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    people, model = faces(), lidr()
    first, second = (torch.nn.Linear(*reversed(layer.weight.shape)) for layer in model.layers)
    with torch.no_grad():
        for module, layer in zip((first, second), model.layers, strict=True):
            module.weight.copy_(torch.from_numpy(layer.weight))
            module.bias.copy_(torch.from_numpy(layer.bias))
        net = torch.nn.Sequential(first, torch.nn.ReLU(), second)
        expected = net(torch.from_numpy(people.vectors))[:, 0].numpy()
    assert predict_log_lid(model, people) == pytest.approx(expected, abs=1e-5)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    curve = np.array([[50.0, 0.5, 0.6], [100.0, 0.3, 0.4]])
    model = lidr(target="g", k=7, s=2.5, curve=curve, attributes={"recipe": "paper", "seed": 3})
    write_lidr(tmp_path / "l.h5", model, command="damcli fit-lidr")
    read = read_lidr(tmp_path / "l.h5")
    for one, other in zip(model.layers, read.layers, strict=True):
        assert np.array_equal(one.weight, other.weight)
        assert np.array_equal(one.bias, other.bias)
    assert (read.k, read.s, read.anchor_count, read.target) == (7, 2.5, 40, "g")
    assert np.array_equal(read.curve, curve)
    assert read.attributes["recipe"] == "paper"
    assert read.attributes["command"] == "damcli fit-lidr"
    assert read.digest is not None
    assert is_lidr(tmp_path / "l.h5")
    with pytest.raises(OutputError, match="exists already"):
        write_lidr(tmp_path / "l.h5", model)


def put(name: str, value: Any) -> Any:
    def change(file: Any) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


def attribute(name: str, value: Any) -> Any:
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("layer/0/weight", None), "lacks 'layer/0/weight'"),
        (put("layer/0/weight", np.zeros(5, "f4")), r"shape \(5,\); expected float32 of shape"),
        (put("layer/0/bias", np.zeros(5, "f4")), r"'layer/0/bias'.*\(5,\).*\(6\)"),
        (put("layer/1/weight", np.zeros((1, 5), "f4")), r"shape \(1, 5\).*\(1, 6\)"),
        (put("layer/1/weight", np.zeros((1, 6), "i4")), "type int32"),
        (put("layer/1/bias", np.array([np.nan], "f4")), "'layer/1/bias' holds numbers"),
        (put("layer/0/weight", h5py.ExternalLink("other.h5", "x")), "kept elsewhere"),
        (attribute("format_version", 2), "format version 2; expected at most 1"),
        (attribute("format_version", "x"), "format version x"),
        (attribute("format", "damcli/anchors"), "holds damcli/anchors; expected a fitted"),
        (attribute("format", "else"), "holds else; expected a fitted"),
        (attribute("k", 0), "k is 0"),
        (attribute("k", 2.5), "k is 2.5"),
        (attribute("anchor_count", -1), "anchor_count is -1"),
        (attribute("s", np.nan), "s is nan"),
        (attribute("s", "one"), "s is one"),
        (attribute("target", "h"), "target 'h'; expected one of g, log-g"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    write_lidr(tmp_path / "l.h5", lidr())
    with h5py.File(tmp_path / "l.h5", "r+") as file:
        change(file)
    with pytest.raises(InputError, match=message):
        read_lidr(tmp_path / "l.h5")


def test_files_that_are_no_regressor_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_lidr(tmp_path / "l.h5")
    write_lidr(tmp_path / "l.h5", lidr())
    whole = (tmp_path / "l.h5").read_bytes()
    (tmp_path / "l.h5").write_bytes(whole[:900])
    with pytest.raises(InputError, match="truncated"):
        read_lidr(tmp_path / "l.h5")
    (tmp_path / "l.h5").write_text("text")
    with pytest.raises(InputError, match="not an HDF5 file"):
        read_lidr(tmp_path / "l.h5")
    assert not is_lidr(tmp_path / "l.h5")


def test_dam_l_is_dam_with_predicted_lids() -> None:
    people, model = faces(), lidr()
    scores = score(all_pairs(people), people, lidr=model)
    assert scores.metrics == ("cosine", "DAM-L")
    g = predict_log_lid(model, people)
    for chunk in scores.chunks():
        a, b = chunk.probe_rows, chunk.reference_rows
        expected = chunk.scores[0] + np.logaddexp(-g[a], -g[b])
        assert chunk.scores[1] == pytest.approx(expected, abs=1e-12)


def test_further_metrics_follow_dam_in_pairs_and_in_blocks() -> None:
    people, others = faces(), anchors()
    more = Metric("sum", "total", lambda t: t.cosine + t.probe_log_lid + t.reference_log_lid)
    scores = score(all_pairs(people), people, others, more_metrics=[more])
    assert scores.metrics == ("cosine", "DAM-R", "sum")
    g = scores.scorer.probe_log_lid
    assert g is not None
    for chunk in scores.chunks():
        assert chunk.score_columns == ("cosine", "score", "total")
        total = chunk.scores[0] + g[chunk.probe_rows] + g[chunk.reference_rows]
        assert chunk.scores[2] == pytest.approx(total, abs=1e-12)
        listed = scores.scorer.pairs(chunk.probe_rows, chunk.reference_rows)
        assert np.allclose(listed, chunk.scores, atol=1e-12)


def test_a_regressor_of_another_dimension_or_model_is_refused() -> None:
    people = faces()
    with pytest.raises(InputError, match="dimension 8; expected 16"):
        score(all_pairs(people), people, lidr=lidr(dim=8))
    with pytest.raises(InputError, match="fitted to embeddings of dimension 8; expected 16"):
        predict_log_lid(lidr(dim=8), people)
    mine = replace(people, attributes={"model_sha256": "a" * 64})
    other = lidr(attributes={"model_sha256": "b" * 64})
    with pytest.raises(InputError, match="made with model bbbbbbbbbbbb"):
        score(all_pairs(mine), mine, lidr=other)
    score(all_pairs(mine), mine, lidr=other, allow_mixed_models=True)


def test_lids_come_from_one_source() -> None:
    model = lidr(k=7, s=2.0)
    assert lid_source(None, None) is None
    regressed = lid_source(None, model, k=7)
    assert isinstance(regressed, RegressedLid)
    assert regressed.describe()["k"] == 7
    with pytest.raises(UserError, match="k = 5, but lidr was fitted with k = 7"):
        lid_source(None, model, k=5)
    with pytest.raises(UserError, match="s = 1, but"):
        lid_source(None, model, s=1.0)
    with pytest.raises(UserError, match="expected one of them"):
        lid_source(anchors(), model)
    default = lid_source(anchors(), None)
    assert isinstance(default, AnchorLid)
    assert (default.k, default.s) == (10, 1.0)


@pytest.mark.parametrize("target", ["g", "log-g"])
def test_onnx_gives_the_same_lids_of_raw_embeddings(tmp_path: Path, target: str) -> None:
    model = lidr(target=target, attributes={"anchors_sha256": "c" * 64})
    assert export_lidr(tmp_path / "l.onnx", model) <= 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "l.onnx")
    people = faces()
    raw = people.vectors * np.linspace(0.1, 50, len(people), dtype=np.float32)[:, None]
    (found,) = session.run(None, {"embedding": raw})
    assert found == pytest.approx(predict_log_lid(model, people), abs=1e-5)
    assert session.run(None, {"embedding": raw[:1]})[0].shape == (1,)
    known = {entry.key: entry.value for entry in onnx.load(tmp_path / "l.onnx").metadata_props}
    assert known["damcli.k"] == "10"
    assert known["damcli.anchors_sha256"] == "c" * 64


def test_a_model_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["damcli.lid.onnx_lidr"]
    monkeypatch.setattr(module, "predict_log_lid", lambda model, rows: np.zeros(len(rows)))
    with pytest.raises(OutputError, match="onnxruntime's LIDs differ by"):
        export_lidr(tmp_path / "l.onnx", lidr())
    assert list(tmp_path.iterdir()) == []


def test_layers_are_what_they_say() -> None:
    model = lidr(dim=9, hidden=4)
    assert (model.dim, model.hidden) == (9, 4)
    assert isinstance(model.layers[0], Layer)
