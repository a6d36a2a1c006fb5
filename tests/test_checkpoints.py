"""Checkpoints of every kind: read, damaged, and refused where they would run code."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import sys
import zipfile
from functools import partial

import numpy as np
import pytest

from damcli.errors import InputError, MissingExtra
from damcli.models.checkpoints import list_tensors, read_tensor
from damcli.models.class_centres import read_class_centres
from tests.checkpoints import HEAD, WRITERS, Payload, write_checkpoint


@pytest.fixture(params=WRITERS)
def checkpoint(request, tmp_path):
    """Write tensors as a checkpoint of each kind; returns its path."""
    return partial(write_checkpoint, tmp_path / f"model{request.param}")


def test_truncated_file(checkpoint):
    path = checkpoint(weight=HEAD)
    whole = path.read_bytes()
    for kept in (1, 10, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=rf"{re.escape(str(path))}: "):
            read_class_centres(path)


def test_garbage_and_empty_file(checkpoint):
    path = checkpoint(weight=HEAD)
    path.write_bytes(b"hello world, this is no checkpoint at all\n" * 40)
    with pytest.raises(InputError, match=f"cannot be read .*; expected a whole {path.suffix} file"):
        read_class_centres(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"is empty \(0 bytes\); expected a checkpoint"):
        read_class_centres(path)


def test_npy_is_named_by_its_stem(tmp_path):
    path = tmp_path / "centres.NPY"
    with path.open("wb") as file:
        np.save(file, np.asfortranarray(HEAD))
    centres = read_class_centres(path, dim=8, classes=30, tensor="centres")
    assert centres.tensor == "centres"
    path.write_bytes(bytes(path.stat().st_size))  # no view of the file
    np.testing.assert_array_equal(centres.vectors, HEAD)


@pytest.mark.parametrize("kept", [3, 60, -5])
def test_truncated_npy(tmp_path, kept):
    path = tmp_path / "centres.npy"
    np.save(path, HEAD)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"cannot be read .*; expected a whole \.npy file"):
        read_class_centres(path)


def test_npz_member_shorter_than_its_header(tmp_path):
    np.save(tmp_path / "w.npy", HEAD)
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("w.npy", (tmp_path / "w.npy").read_bytes()[:-100])
    with pytest.raises(InputError, match="shorter than its header says"):
        read_class_centres(tmp_path / "m.npz")


def test_missing_folder_and_unknown_suffix(tmp_path):
    with pytest.raises(InputError, match="no such file; expected a checkpoint"):
        read_class_centres(tmp_path / "none.pt")
    with pytest.raises(InputError, match="is not a file; expected a checkpoint"):
        read_class_centres(tmp_path)
    other = tmp_path / "model.params"
    other.write_bytes(b"x")
    with pytest.raises(InputError, match=r"'\.params'; expected \.pt, .* or \.npz") as caught:
        read_class_centres(other)
    assert ".pt" in caught.value.hint


# --- PyTorch -----------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_nested_state_dict_without_the_optimizer(torch, tmp_path):
    layer = torch.nn.Linear(8, 30)
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 8)).sum().backward()
    adam.step()
    path = tmp_path / "model.pt"
    saved = {"epoch": 3, "state_dict": {"module": layer.state_dict()}, "opt": adam.state_dict()}
    torch.save(saved, path)
    centres = read_class_centres(path, dim=8)
    assert centres.tensor == "state_dict.module.weight"
    np.testing.assert_array_equal(centres.vectors, layer.weight.detach().numpy())


def test_shared_and_cyclic_containers_are_walked_once(torch, tmp_path):
    shared = {"w": torch.from_numpy(HEAD)}
    shared["again"] = shared
    torch.save([shared, shared], tmp_path / "m.pt")
    assert read_class_centres(tmp_path / "m.pt").tensor == "0.w"


def test_bare_tensor_parameter_and_older_layout(torch, tmp_path):
    path = tmp_path / "head.pth"
    parameter = torch.nn.Parameter(torch.from_numpy(HEAD.T.copy()).t())
    torch.save(parameter, path, _use_new_zipfile_serialization=False)
    centres = read_class_centres(path)
    assert centres.tensor == "head"
    np.testing.assert_array_equal(centres.vectors, HEAD)


def test_torch_bfloat16(torch, tmp_path):
    half = torch.from_numpy(HEAD).bfloat16()
    torch.save({"w": half}, tmp_path / "m.pt")
    vectors = read_class_centres(tmp_path / "m.pt").vectors
    np.testing.assert_array_equal(vectors, half.float().numpy())


def test_sparse_tensor_is_no_candidate(torch, tmp_path):
    torch.save({"w": torch.from_numpy(HEAD).to_sparse()}, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"w \(30, 8\) sparse float32"):
        read_class_centres(tmp_path / "m.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_malicious_pt_is_refused_unrun(torch, tmp_path, zipped):
    marker, path = tmp_path / "pwned", tmp_path / "evil.pt"
    torch.save({"x": Payload(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"pickled .*system\), and damcli refuses to run code"):
        read_class_centres(path)
    assert not marker.exists()


def test_other_pickled_classes_are_refused_with_a_way_out(torch, tmp_path):
    torch.save({"args": argparse.Namespace(lr=1), "w": torch.ones(3, 2)}, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"argparse\.Namespace.*refuses to run code") as caught:
        read_class_centres(tmp_path / "m.pt")
    assert "state_dict()" in caught.value.hint


def test_raw_pickle_named_pt_is_refused_unrun(torch, tmp_path):
    marker, path = tmp_path / "pwned", tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"x": Payload(marker)}))
    with pytest.raises(InputError) as caught:
        read_class_centres(path)
    assert "weights_only" not in str(caught.value)  # torch's own text advises unsafe loading
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused(torch, tmp_path):
    path = tmp_path / "m.pt"
    torch.jit.trace(torch.nn.Linear(8, 30), torch.ones(1, 8)).save(str(path))
    with pytest.raises(InputError, match="TorchScript program, and damcli refuses to run code"):
        read_class_centres(path)


def test_missing_torch_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "m.pt").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"reading m\.pt needs the extra \[torch\]"):
        read_class_centres(tmp_path / "m.pt")


# --- numpy's pickles ---------------------------------------------------------------------


def test_object_npy_is_refused_unrun(tmp_path):
    marker, path = tmp_path / "pwned", tmp_path / "evil.npy"
    np.save(path, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled Python objects, and damcli refuses to run code"):
        read_class_centres(path)
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(InputError, match=r"expected a whole \.npy file"):
        read_class_centres(path)
    assert not marker.exists()


def test_objects_beside_the_centres_in_npz_stay_unloaded(tmp_path):
    marker, path = tmp_path / "pwned", tmp_path / "m.npz"
    np.savez(path, weight=HEAD, extra=np.array([[Payload(marker)] * 2] * 2, dtype=object))
    assert read_class_centres(path).tensor == "weight"
    with pytest.raises(InputError, match=r"'extra' is pickled object \(2, 2\)"):
        read_class_centres(path, tensor="extra")
    assert not marker.exists()


# --- safetensors and ONNX ----------------------------------------------------------------


def as_bfloat16_bits(values):
    return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype("<u2")


def from_bfloat16_bits(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def test_safetensors_bfloat16(tmp_path):
    bits = as_bfloat16_bits(HEAD)
    first = np.ones(6, dtype="<f4")  # so that the offsets do not start at 0
    header = json.dumps(
        {
            "a": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]},
            "w": {"dtype": "BF16", "shape": [30, 8], "data_offsets": [24, 24 + bits.nbytes]},
        }
    ).encode()
    path = tmp_path / "m.safetensors"
    size = len(header).to_bytes(8, "little")
    path.write_bytes(size + header + first.tobytes() + bits.tobytes())
    vectors = read_class_centres(path).vectors
    np.testing.assert_array_equal(vectors, from_bfloat16_bits(bits))


def test_safetensors_float8_is_listed_but_no_candidate(tmp_path):
    path = tmp_path / "m.safetensors"
    header = b'{"w":{"dtype":"F8_E4M3","shape":[3,2],"data_offsets":[0,6]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(6))
    with pytest.raises(InputError, match=r"w \(3, 2\) F8_E4M3"):
        read_class_centres(path)


def save_onnx(path, tensor):
    from onnx import helper

    graph = helper.make_graph([], "g", [], [], initializer=[tensor])
    path.write_bytes(helper.make_model(graph).SerializeToString())


def test_onnx_bfloat16(tmp_path):
    from onnx import TensorProto

    bits = as_bfloat16_bits(HEAD)
    tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=HEAD.shape)
    tensor.raw_data = bits.tobytes()
    save_onnx(tmp_path / "m.onnx", tensor)
    vectors = read_class_centres(tmp_path / "m.onnx").vectors
    np.testing.assert_array_equal(vectors, from_bfloat16_bits(bits))


def external(location):
    from onnx import StringStringEntryProto, TensorProto

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=HEAD.shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(StringStringEntryProto(key="location", value=location))
    return tensor


def test_onnx_external_data_in_the_models_folder(tmp_path):
    save_onnx(tmp_path / "m.onnx", external("w.bin"))
    (tmp_path / "w.bin").write_bytes(HEAD.tobytes())
    np.testing.assert_array_equal(read_class_centres(tmp_path / "m.onnx").vectors, HEAD)


@pytest.mark.parametrize("place", ["../w.bin", "absolute", "link", "missing.bin", "short.bin"])
def test_onnx_external_data_elsewhere_is_refused(tmp_path, place):
    folder = tmp_path / "model"
    folder.mkdir()
    outside = tmp_path / "w.bin"
    outside.write_bytes(HEAD.tobytes())
    (folder / "link").symlink_to(outside)
    (folder / "short.bin").write_bytes(HEAD.tobytes()[:100])
    save_onnx(folder / "m.onnx", external(str(outside) if place == "absolute" else place))
    with pytest.raises(InputError, match=r"lies in the external file .* model's own folder"):
        read_class_centres(folder / "m.onnx")


def test_onnx_data_shorter_than_its_shape(tmp_path):
    from onnx import TensorProto

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=HEAD.shape)
    tensor.raw_data = HEAD.tobytes()[:100]
    save_onnx(tmp_path / "m.onnx", tensor)
    with pytest.raises(InputError, match=r"cannot be read .*; expected a whole \.onnx file"):
        read_class_centres(tmp_path / "m.onnx")


def test_listing_names_shape_and_type(checkpoint):
    path = checkpoint(a=HEAD, b=HEAD.astype(np.float16))
    listed = {one.name: one for one in list_tensors(path)}
    assert {(n, one.shape, one.dtype) for n, one in listed.items()} == {
        ("a", (30, 8), "float32"),
        ("b", (30, 8), "float16"),
    }
    assert read_tensor(path, listed["b"]).dtype == np.float32
