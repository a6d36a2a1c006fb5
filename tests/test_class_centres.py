"""Class centres and labels, read from real small checkpoints in every format."""

from __future__ import annotations

import argparse
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from damcli.errors import InputError, MissingExtra
from damcli.models.checkpoints import list_tensors, read_tensor
from damcli.models.class_centres import mean_of_sub_centers, read_class_centres
from damcli.models.labels import read_labels

RNG = np.random.default_rng(7)
HEAD = RNG.normal(size=(30, 8)).astype(np.float32)
BACKBONE = RNG.normal(size=(8, 50)).astype(np.float32)


class Payload:
    """A pickle of it runs a command when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def write_npz(path, **tensors):
    np.savez(path, **tensors)


def write_safetensors(path, **tensors):
    from safetensors.numpy import save_file

    save_file(tensors, path)


def write_onnx(path, **tensors):
    import onnx
    from onnx import helper, numpy_helper

    inits = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], initializer=inits)), path)


def write_torch(path, **tensors):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(value.copy()) for name, value in tensors.items()}, path)


WRITERS = {
    ".npz": write_npz,
    ".safetensors": write_safetensors,
    ".onnx": write_onnx,
    ".pt": write_torch,
    ".pth": write_torch,
}


@pytest.fixture(params=WRITERS)
def checkpoint(request, tmp_path):
    """Write tensors as a checkpoint of each kind; returns its path."""

    def write(**tensors):
        path = tmp_path / f"model{request.param}"
        WRITERS[request.param](path, **tensors)
        return path

    return write


@pytest.fixture
def npz(tmp_path):
    def write(**tensors):
        write_npz(tmp_path / "model.npz", **tensors)
        return tmp_path / "model.npz"

    return write


# --- every format -----------------------------------------------------------------------


def test_single_matrix_needs_no_knowledge(checkpoint):
    path = checkpoint(weight=HEAD, bias=HEAD[0], steps=np.arange(12).reshape(3, 4))
    centres = read_class_centres(path)
    assert (centres.tensor, centres.transposed, centres.sub_centers) == ("weight", False, 1)
    assert centres.vectors.dtype == np.float32
    np.testing.assert_array_equal(centres.vectors, HEAD)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(checkpoint, dtype):
    vectors = read_class_centres(checkpoint(weight=HEAD.astype(dtype))).vectors
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, HEAD.astype(dtype).astype(np.float32))


def test_transposed_layout_is_turned(checkpoint):
    centres = read_class_centres(checkpoint(kernel=np.ascontiguousarray(HEAD.T)), dim=8)
    assert centres.transposed
    assert centres.vectors.flags.c_contiguous
    np.testing.assert_array_equal(centres.vectors, HEAD)


def test_ambiguity_lists_both_and_classes_resolve_it(checkpoint):
    path = checkpoint(weight=HEAD, **{"fc.weight": BACKBONE})
    with pytest.raises(InputError, match="2 tensors could be the class centres") as caught:
        read_class_centres(path, dim=8)
    assert "  weight (30, 8) float32" in str(caught.value)
    assert "  fc.weight (8, 50) float32" in str(caught.value)
    assert "--tensor NAME" in caught.value.hint
    assert "--dim" not in caught.value.hint
    assert read_class_centres(path, dim=8, classes=30).tensor == "weight"
    assert read_class_centres(path, classes=30).tensor == "weight"
    turned = read_class_centres(path, tensor="fc.weight", dim=8)
    np.testing.assert_array_equal(turned.vectors, BACKBONE.T)


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


def test_infinite_after_overflow_is_kept_without_warning(npz):
    assert np.isinf(read_class_centres(npz(w=np.full((3, 2), 1e300))).vectors).all()


def test_npy_is_named_by_its_stem(tmp_path):
    path = tmp_path / "centres.NPY"
    with path.open("wb") as file:
        np.save(file, np.asfortranarray(HEAD))
    centres = read_class_centres(path, dim=8, classes=30, tensor="centres")
    assert centres.tensor == "centres"
    assert centres.vectors.flags.owndata
    np.testing.assert_array_equal(centres.vectors, HEAD)


@pytest.mark.parametrize("kept", [3, 60, -5])
def test_truncated_npy(tmp_path, kept):
    path = tmp_path / "centres.npy"
    np.save(path, HEAD)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"cannot be read .*; expected a whole \.npy file"):
        read_class_centres(path)


def test_npz_member_shorter_than_its_header(tmp_path):
    import zipfile

    np.save(tmp_path / "w.npy", HEAD)
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("w.npy", (tmp_path / "w.npy").read_bytes()[:-100])
    with pytest.raises(InputError, match="shorter than its header says"):
        read_class_centres(tmp_path / "m.npz")


# --- paths ------------------------------------------------------------------------------


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


# --- choosing ---------------------------------------------------------------------------


def test_larger_axis_counts_as_classes(npz):
    centres = read_class_centres(npz(kernel=HEAD.T))
    assert centres.transposed
    assert centres.vectors.shape == (30, 8)


def test_dim_decides_against_the_larger_axis(npz):
    centres = read_class_centres(npz(w=BACKBONE), dim=50)
    assert (centres.transposed, centres.vectors.shape) == (False, (8, 50))


def test_square_rows_are_classes(npz):
    square = HEAD[:8]
    centres = read_class_centres(npz(w=square), dim=8, classes=8)
    assert not centres.transposed
    np.testing.assert_array_equal(centres.vectors, square)


def test_ambiguous_list_is_cut_and_hints_all_ways(npz):
    path = npz(**{f"layer{n:02}": HEAD for n in range(25)})
    with pytest.raises(InputError, match="25 tensors could be the class centres") as caught:
        read_class_centres(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 5 more"
    for way in ("--tensor NAME", "--dim D", "labels"):
        assert way in caught.value.hint


def test_wrong_name_lists_candidates_only(npz):
    with pytest.raises(InputError, match="holds no tensor 'head'; expected one of") as caught:
        read_class_centres(npz(weight=HEAD, bias=HEAD[0]), tensor="head")
    assert "weight (30, 8)" in str(caught.value)
    assert "bias" not in str(caught.value)
    assert "--tensor" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (HEAD[0], r"float32 \(8,\)"),
        (np.ones((3, 4), dtype=np.int64), r"int64 \(3, 4\)"),
        (HEAD[:1], r"float32 \(1, 8\)"),
        (np.ones((3, 30, 8)), r"float64 \(3, 30, 8\)"),
    ],
)
def test_named_tensor_that_cannot_be_centres(npz, value, shown):
    with pytest.raises(InputError, match=f"'x' is {shown}; expected a 2-D float tensor"):
        read_class_centres(npz(x=value, w=HEAD), tensor="x")


def test_no_matrix_at_all(npz):
    with pytest.raises(InputError, match="1 tensors, none of them class centres") as caught:
        read_class_centres(npz(bias=HEAD[0]))
    assert "bias (8,) float32" in str(caught.value)
    assert "head in a file of its own" in caught.value.hint


def test_dim_and_classes_not_found(npz):
    path = npz(w=HEAD)
    with pytest.raises(InputError, match=r"expected one axis of 512 \(the dimension\); it holds"):
        read_class_centres(path, dim=512)
    with pytest.raises(InputError, match=r"one axis of 7 \(7 classes\) and one of 8 \(the dim"):
        read_class_centres(path, dim=8, classes=7)
    with pytest.raises(InputError, match=r"expected one axis of 14 \(7 classes × 2 sub-centres\)"):
        read_class_centres(path, classes=7, sub_centers=2)


# --- sub-centres ------------------------------------------------------------------------


def oracle_means(vectors, k):
    return [
        np.mean([v / np.sqrt(sum(v * v)) for v in vectors[i : i + k].astype(float)], axis=0)
        for i in range(0, len(vectors), k)
    ]


def test_sub_centres_all_rows_and_their_means(checkpoint):
    path = checkpoint(weight=HEAD)
    centres = read_class_centres(path, dim=8, classes=10, sub_centers=3)
    assert centres.sub_centers == 3
    np.testing.assert_array_equal(centres.vectors, HEAD)
    means = mean_of_sub_centers(centres.vectors, 3)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, oracle_means(HEAD, 3), rtol=1e-6)


def test_means_across_blocks(monkeypatch):
    monkeypatch.setattr("damcli.models.class_centres.BLOCK_CLASSES", 4)
    np.testing.assert_allclose(mean_of_sub_centers(HEAD, 3), oracle_means(HEAD, 3), rtol=1e-6)


def test_unsaid_sub_centres_are_pointed_out(npz):
    path = npz(weight=HEAD)
    for known in ({"classes": 10}, {"classes": 10, "dim": 8}):
        with pytest.raises(InputError, match="30 rows for 10 classes, .* 3 sub-centres") as caught:
            read_class_centres(path, **known)
        assert "--sub-centers 3" in caught.value.hint
    with pytest.raises(InputError, match="expected one axis of 10"):
        read_class_centres(path, classes=10, sub_centers=1)


def test_rows_not_divisible(npz):
    with pytest.raises(InputError, match="'w' has 30 rows.*; expected a multiple of 4") as caught:
        read_class_centres(npz(w=HEAD), sub_centers=4)
    assert "--sub-centers K" in caught.value.hint
    with pytest.raises(InputError, match="class centres: 30 rows .* multiple of 4"):
        mean_of_sub_centers(HEAD, 4)


def test_three_axes_are_classes_sub_centres_dim(checkpoint):
    path = checkpoint(w=HEAD.reshape(10, 3, 8))
    for known in ({}, {"dim": 8}, {"classes": 10}, {"sub_centers": 3}):
        centres = read_class_centres(path, **known)
        assert (centres.sub_centers, centres.transposed) == (3, False)
        np.testing.assert_array_equal(centres.vectors, HEAD)
    with pytest.raises(InputError, match=r"expected \(classes, 2 sub-centres, dimension\)"):
        read_class_centres(path, sub_centers=2)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_mean_of_a_centre_without_direction(value):
    bad = HEAD.copy()
    bad[4] = value
    with pytest.raises(InputError, match="model, row 5: the centre is all zeros or not finite"):
        mean_of_sub_centers(bad, 3, origin="model")


# --- PyTorch ----------------------------------------------------------------------------


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


# --- numpy's pickles --------------------------------------------------------------------


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


# --- safetensors and ONNX ---------------------------------------------------------------


def as_bfloat16_bits(values):
    return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype("<u2")


def from_bfloat16_bits(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def test_safetensors_bfloat16(tmp_path):
    import json

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
    import onnx
    from onnx import helper

    graph = helper.make_graph([], "g", [], [], initializer=[tensor])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return onnx


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


# --- labels -----------------------------------------------------------------------------


def labels(tmp_path: Path, text: str | bytes) -> list[str]:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_labels(path)


@pytest.mark.parametrize(
    "text",
    [
        "ann\nDoe, Bob\nçem\n",
        "\ufeffann\r\nDoe, Bob\r\nçem",
        "ann\n Doe, Bob \nçem\n\n \n",
        '0,ann\n1,"Doe, Bob"\n2,çem\n',
        'index,label\r\n2,çem\r\n0,ann\r\n1, "Doe, Bob"\r\n\r\n',
        '\ufeffClass,name\n2,çem\n01,"Doe, Bob"\n0,ann',
    ],
)
def test_labels_in_class_order(tmp_path, text):
    assert labels(tmp_path, text) == ["ann", "Doe, Bob", "çem"]


def test_labels_that_are_numbers_or_quoted_stay_lines(tmp_path):
    assert labels(tmp_path, '7\n3\n"x\n') == ["7", "3", '"x']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty \(0 bytes\); expected a list of class labels"),
        ("\n\n", "holds only blank lines; expected one label a line"),
        ("index,label\n", None),
        ("a\n\nb\n", "row 2: is blank; expected a label"),
        ("a\nb\na\n", "row 3: label 'a' was already given in row 1"),
        ("i,l\n0,a\n1,b\n", "row 1: 'i,l' stands above 'index,label' lines"),
        ("index,label\n1,a\n0,b\n2,a\n", "row 4: label 'a' was already given in row 2"),
        ("1,a\n2,b\n", "row 2: index 2 among 2 labels; expected 0 to 1, each once"),
        ("0,a\n1,b\n1,c\n", "row 3: index 1 was already given in row 2"),
        ("0,a\nb\n", "row 2: 'b'; expected 'index,label' with a whole number"),
        ("0,a\n-1,b\n", "row 2: '-1,b'; expected 'index,label'"),
        ("0,a\n1,b,c\n", "row 2: '1,b,c'; expected 'index,label'"),
        ("0,a\n1,\n", "row 2: '1,'; expected 'index,label'"),
        ('0,a\n1,"b\n', "row 2: is not well-formed CSV"),
        (b"\xff\xfe\x00a", "cannot be read as text .*; expected class labels in UTF-8"),
    ],
)
def test_label_errors_name_the_row(tmp_path, text, message):
    if message is None:  # one line alone cannot be told from a label
        assert labels(tmp_path, text) == ["index,label"]
        return
    with pytest.raises(InputError, match=message):
        labels(tmp_path, text)


def test_label_file_missing_or_folder(tmp_path):
    with pytest.raises(InputError, match="no such file; expected a list of class labels"):
        read_labels(tmp_path / "none.txt")
    with pytest.raises(InputError, match="is not a file"):
        read_labels(tmp_path)
