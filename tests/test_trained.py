"""Checkpoints of `damcli train`: what comes back, what is refused, and their ONNX model."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from damcli.errors import InputError, MissingExtra, OutputError  # noqa: E402
from damcli.models.backbones import PREPROCESSING, build_backbone  # noqa: E402
from damcli.models.opening import open_network  # noqa: E402
from damcli.models.trained import Trained, pack, read_trained, rebuild  # noqa: E402
from damcli.training import onnx_export  # noqa: E402
from damcli.training.onnx_export import export_onnx  # noqa: E402
from tests.checkpoints import Payload  # noqa: E402
from tests.runs import DIM, save_checkpoint, trained  # noqa: E402


@pytest.fixture(scope="module")
def model() -> Trained:
    return trained()


def images(count: int = 3) -> np.ndarray:
    pixels = np.random.default_rng(1).integers(0, 256, (count, 112, 112, 3), dtype=np.uint8)
    return PREPROCESSING.apply(pixels)


def expected_of(model: Trained, batch: np.ndarray) -> np.ndarray:
    network = build_backbone(model.backbone, dim=model.dim)
    network.load_state_dict(model.weights)
    with torch.no_grad():
        return network.eval()(torch.from_numpy(batch)).numpy()


def test_what_is_saved_comes_back(tmp_path: Path, model: Trained) -> None:
    moments = {"state": {0: {"momentum_buffer": torch.ones(9)}}, "param_groups": [{"lr": 0.1}]}
    path = save_checkpoint(tmp_path / "state.pt", model, optimizer=moments, scaler={"scale": 2.0})
    before = torch.get_rng_state()
    found = read_trained(path)
    network = rebuild(found)
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("backbone", "dim", "dropout", "preprocessing", "step"):
        assert getattr(found, name) == getattr(model, name)
    assert list(found.weights) == list(model.weights)
    assert all(torch.equal(found.weights[name], model.weights[name]) for name in model.weights)
    assert not network.training
    with torch.no_grad():
        got = network(torch.from_numpy(images())).numpy()
    assert np.array_equal(got, expected_of(model, images()))


def test_a_file_that_changes_under_it_does_no_harm(tmp_path: Path, model: Trained) -> None:
    path = save_checkpoint(tmp_path / "state.pt", model)
    found = read_trained(path)
    with path.open("r+b") as file:
        file.truncate(100)
    assert torch.equal(found.weights["fc.weight"], model.weights["fc.weight"])


def test_without_torch(tmp_path: Path, model: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint(tmp_path / "state.pt", model)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"reading state.pt needs the extra \[torch\]"):
        read_trained(path)


def without(key: str):
    def change(document):
        del document[key]

    return change


def setting(key: str, value: object):
    def change(document):
        document[key] = value

    return change


def weights(change):
    def changed(document):
        document["weights"] = dict(document["weights"])
        change(document["weights"])

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("damcli"), "is no checkpoint of damcli train; expected the state.pt of one"),
        (setting("version", 2), "is a checkpoint of version 2; expected 1"),
        (without("step"), r"is a damaged checkpoint \(it lacks 'step'\)"),
        (setting("backbone", "r7"), "backbone 'r7' is none of mobile, r18"),
        (setting("backbone", []), r"backbone \[\] is none of"),
        (setting("dim", -8), "dim is -8 and step is 3"),
        (setting("dim", 10**30), "is a damaged checkpoint"),
        (setting("dropout", "much"), "dropout is 'much'"),
        (setting("preprocessing", "{}"), "states a preprocessing that cannot be read"),
        (
            setting("preprocessing", replace(PREPROCESSING, size=(8, 8)).as_json()),
            "mobile does not take images of",
        ),
        (setting("weights", [1]), "is a damaged checkpoint"),
        (setting("weights", {"fc.weight": 3}), "is a damaged checkpoint"),
        (
            weights(without("fc.weight")),
            r"'fc.weight' is missing, and float32 \(8, 512\) in mobile; 1 weights differ",
        ),
        (
            weights(setting("more", torch.ones(2))),
            r"'more' is float32 \(2,\), and missing in mobile",
        ),
        (
            setting("dim", 9),
            r"'fc.weight' is float32 \(8, 512\), and float32 \(9, 512\) .*; 5 weigh",
        ),
        (
            weights(setting("fc.weight", torch.ones(8, 512, dtype=torch.float16))),
            r"'fc.weight' is float16 \(8, 512\)",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, model: Trained, change, message: str) -> None:
    document = pack(model)
    change(document)
    torch.save(document, tmp_path / "state.pt")
    with pytest.raises(InputError, match=message) as caught:
        read_trained(tmp_path / "state.pt")
    assert caught.value.origin == str(tmp_path / "state.pt")


def test_damage_and_pickles_are_refused(tmp_path: Path, model: Trained) -> None:
    path = save_checkpoint(tmp_path / "state.pt", model)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="cannot be read"):
        read_trained(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"is empty \(0 bytes\); expected a checkpoint"):
        read_trained(path)
    marker = tmp_path / "ran"
    save_checkpoint(path, model, options=Payload(marker))
    with pytest.raises(InputError, match="refuses to run code"):
        read_trained(path)
    assert not marker.exists()
    with pytest.raises(InputError, match="no such file"):
        read_trained(tmp_path / "none.pt")


def test_the_checkpoint_is_a_model_for_embed(tmp_path: Path, model: Trained) -> None:
    path = save_checkpoint(tmp_path / "state.pt", model)
    network = open_network(path, device="cpu")
    spec = network.input
    assert (spec.layout, spec.channels, spec.height, spec.width) == ("NCHW", 3, 112, 112)
    assert spec.preprocessing == PREPROCESSING.as_json()
    assert spec.batch is None
    assert not network.notes
    np.testing.assert_allclose(network.run(images()), expected_of(model, images()), rtol=1e-5)
    with pytest.raises(InputError, match="is a whole model; expected saved weights for --arch"):
        open_network(path, device="cpu", arch="tests.architectures:Net")
    with pytest.raises(InputError, match="takes images of 112x112, not 96x96"):
        open_network(path, device="cpu", size=(96, 96))


@pytest.mark.parametrize("backbone", ["mobile", "r18"])
def test_onnx_gives_the_same_for_any_batch(tmp_path: Path, backbone: str) -> None:
    model = trained(backbone)
    difference = export_onnx(model, tmp_path / "m.onnx")
    assert 0 < difference < 1e-5
    network = open_network(tmp_path / "m.onnx", device="cpu")
    assert network.input.preprocessing == model.preprocessing.as_json()
    assert (network.input.batch, network.notes) == (None, ())
    for count in (1, 5):
        expected = expected_of(model, images(count))
        assert expected.shape == (count, DIM)
        near = 1e-5 * float(np.abs(expected).max())
        np.testing.assert_allclose(network.run(images(count)), expected, rtol=0, atol=near)
    export_onnx(model, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "m.onnx").read_bytes()


def test_onnx_says_what_it_is(tmp_path: Path, model: Trained) -> None:
    import onnx

    export_onnx(model, tmp_path / "m.onnx")
    written = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(written, full_check=True)
    metadata = {entry.key: entry.value for entry in written.metadata_props}
    assert metadata == {
        "damcli.preprocessing": PREPROCESSING.as_json(),
        "damcli.backbone": "mobile",
        "damcli.step": "3",
    }
    assert [value.name for value in written.graph.input] == ["images"]
    assert written.producer_name == "damcli"


def test_a_model_that_went_wrong_is_not_written(
    tmp_path: Path, model: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        export_onnx(model, path)
    broken = {**model.weights, "fc.weight": torch.full((DIM, 512), float("nan"))}
    with pytest.raises(OutputError, match="are not finite; expected numbers, so the model was not"):
        export_onnx(replace(model, weights=broken), path, force=True)
    monkeypatch.setattr(onnx_export, "TOLERANCE", 0.0)
    with pytest.raises(OutputError, match=r"differ from PyTorch's by .* of their size; expected"):
        export_onnx(model, path, force=True)
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]
