"""PyTorch models of every kind: the same numbers as by hand, and no foreign code."""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
import zipfile

import numpy as np
import pytest

from damcli.errors import InputError, MissingExtra, UserError
from damcli.models.network import InputSpec
from damcli.models.opening import open_network
from tests.checkpoints import Payload

torch = pytest.importorskip("torch")

from tests import architectures  # noqa: E402

ARCH = "tests.architectures:Net"


@pytest.fixture(autouse=True)
def one_thread():
    """Several wait for each other longer than these networks take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def net():
    """Return a network whose BatchNorm and Dropout show whether it runs in eval mode."""
    torch.manual_seed(5)
    net = architectures.Net()
    net.norm.running_mean += torch.rand(4)
    net.norm.running_var += torch.rand(4)
    return net.eval()


@pytest.fixture
def images(rng):
    return rng.normal(size=(7, 3, 8, 9)).astype(np.float32)


def by_hand(net, images):
    """Embed one at a time, as a plain loop would."""
    with torch.no_grad():
        return np.concatenate([net(torch.from_numpy(image[None])).numpy() for image in images])


def script(net, path, example=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.script(net) if example is None else torch.jit.trace(net, example)
        torch.jit.save(program, path)
    return path


def export(net, path, *, rows=2, dynamic=True, **options):
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    program = torch.export.export(net, (torch.zeros(rows, 3, 8, 9),), dynamic_shapes=shapes)
    torch.export.save(program, path, **options)
    return path


def refused(path, *parts, hint="", **options):
    with pytest.raises(UserError) as caught:
        open_network(path, **options)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
    assert hint in str(caught.value.hint)


def agrees(network, net, images):
    expected = by_hand(net, images)
    for count in (1, 2, 7):
        vectors = network.run(images[:count])
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected[:count], atol=1e-5)


# --- the numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ts", ".pt2"])
def test_torchscript(net, images, tmp_path, suffix):
    """Told by what is in the file, saved in training mode or not."""
    path = script(net.train(), tmp_path / f"m{suffix}")
    net.eval()
    network = open_network(path)
    assert network.input == InputSpec("x", "NCHW")
    assert network.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.runtime == f"torch {torch.__version__}, CPU"
    agrees(network, net, images)


def test_torchscript_with_its_batch_traced_in(net, images, tmp_path):
    torch.manual_seed(5)
    fixed = architectures.FixedInside()
    fixed.load_state_dict(net.state_dict())
    path = script(fixed.eval(), tmp_path / "m.pt", torch.zeros(1, 3, 8, 9))
    network = open_network(path, size=(8, 9))
    assert network.input == InputSpec("x", "NCHW", None, 8, 9, batch=1)
    assert network.notes == ("one image at a time: a batch size of 1 is fixed inside the model",)
    agrees(network, net, images)


@pytest.mark.parametrize("suffix", [".pt2", ".pt"])
def test_exported(net, images, tmp_path, suffix):
    network = open_network(export(net, tmp_path / "m.pt2").rename(tmp_path / f"n{suffix}"))
    assert network.input == InputSpec("x", "NCHW", 3, 8, 9)
    agrees(network, net, images)


@pytest.mark.parametrize("rows", [1, 4])
def test_exported_with_one_batch_size(net, images, tmp_path, rows):
    network = open_network(export(net, tmp_path / "m.pt2", rows=rows, dynamic=False))
    assert network.input.batch == rows
    agrees(network, net, images)
    with pytest.raises(InputError, match=r"images of shape \(7, 3, 7, 9\); expected \(B, 3, 8, 9"):
        network.run(images[:, :, 1:])


NESTINGS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {"state": {}, "param_groups": []}},
    "backbone": lambda state: {"backbone": state},
    "DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "both": lambda state: {"state_dict": {f"module.{key}": v for key, v in state.items()}},
    "no counters": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
    "ema beside it": lambda state: {"model": state, "ema": dict(state)},
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("older", [False, True])
def test_state_dict(net, images, tmp_path, nesting, older):
    path = tmp_path / "m.pth"
    saved = NESTINGS[nesting](dict(net.state_dict()))
    torch.save(saved, path, _use_new_zipfile_serialization=not older)
    agrees(open_network(path, arch=ARCH), net, images)


def test_safetensors(net, images, tmp_path):
    from safetensors.torch import save_file

    save_file(net.state_dict(), tmp_path / "m.safetensors")
    agrees(open_network(tmp_path / "m.safetensors", arch=ARCH), net, images)


def test_what_lies_beside_the_weights_is_named(net, images, tmp_path):
    state = {f"model.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state | {"loss.kernel": torch.ones(2)}}, tmp_path / "m.pt")
    network = open_network(tmp_path / "m.pt", arch=ARCH)
    assert network.notes == ("left out 1 (state_dict.loss.kernel) outside 'state_dict.model.'",)
    agrees(network, net, images)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision(net, images, tmp_path, kind):
    path = script(net.to(getattr(torch, kind)), tmp_path / "m.pt")
    network = open_network(path)
    assert network.input.dtype == kind
    vectors = network.run(images)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, by_hand(net.float(), images), atol=0.05)


# --- inputs and outputs --------------------------------------------------------------------


def test_norm_beside_the_embedding_is_not_taken_for_one(net, images, tmp_path):
    both = architectures.WithNorm()
    both.load_state_dict(net.state_dict())
    path = script(both.eval(), tmp_path / "m.pt")
    agrees(open_network(path), net, images)
    norms = open_network(path, output_name="1").run(images)
    np.testing.assert_allclose(norms[:, 0], np.linalg.norm(by_hand(net, images), axis=1), rtol=1e-5)


def test_output_by_name(net, images, tmp_path):
    torch.save(net.state_dict(), tmp_path / "m.pt")
    arch = "tests.architectures:TwoEmbeddings"
    doubled = open_network(tmp_path / "m.pt", arch=arch, output_name="doubled").run(images)
    np.testing.assert_allclose(doubled, 2 * by_hand(net, images), atol=1e-5)
    refused(
        tmp_path / "m.pt",
        "has 2 outputs, 2 of them (B, D) in floats; expected one:\n  raw float32 (1, 5)",
        hint="--output-name NAME",
        arch=arch,
        size=(8, 9),
    )
    refused(
        tmp_path / "m.pt",
        "has no output 'fc'; expected one of:\n  raw float32",
        arch=arch,
        size=(8, 9),
        output_name="fc",
    )


def test_wrong_rank(net, images, tmp_path):
    torch.save(net.state_dict(), tmp_path / "m.pt")
    network = open_network(tmp_path / "m.pt", arch="tests.architectures:Maps")
    with pytest.raises(InputError, match=r"output of shape \(7, 4, 6, 7\) for 7 images; expected"):
        network.run(images)


def test_inputs(net, tmp_path):
    path = script(net, tmp_path / "m.pt")
    assert open_network(path, input_name="x").input.name == "x"
    refused(path, "has no input 'data'; expected 'x'", input_name="data")
    path = script(architectures.TwoInputs(), tmp_path / "two.pt")
    refused(path, "has 2 inputs (x, scale); expected one, the images")


def test_images_that_it_does_not_take(net, tmp_path, images):
    network = open_network(script(net, tmp_path / "m.pt"))
    with pytest.raises(InputError, match=r"fails on images of shape \(7, 8, 9, 3\)"):
        network.run(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))


# --- weights and their code ----------------------------------------------------------------


def test_weights_of_another_network(net, tmp_path):
    state = dict(net.state_dict())
    path = tmp_path / "m.pt"
    torch.save({f"b{i}": torch.ones(1) for i in range(7)} | state, path)
    refused(
        path, "none missing, 7 (b0, b1, b2, b3, b4, …) unexpected; expected the same", arch=ARCH
    )
    del state["head.weight"], state["conv.bias"]
    torch.save(state, path)
    refused(path, "2 (conv.bias, head.weight) missing, none unexpected", arch=ARCH)
    torch.save(net.state_dict() | {"head.weight": torch.ones(9, 4)}, path)
    refused(path, "'head.weight' is (9, 4), and (5, 4) in this --arch", arch=ARCH)
    torch.save({"student": dict(net.state_dict()), "teacher": dict(net.state_dict())}, path)
    refused(path, "weights 2 times, under 'student.', 'teacher.'; expected them once", arch=ARCH)


@pytest.mark.parametrize(
    ("arch", "says"),
    [
        ("tests.architectures", "--arch is 'tests.architectures'; expected package.module:factory"),
        ("no_such_package.x:f", "importing 'no_such_package.x' fails (ModuleNotFoundError: No mod"),
        ("tests.architectures:Nett", "'tests.architectures' has no 'Nett'; expected a factory"),
        ("tests.architectures:CONSTANT", "is int, not callable; expected a factory"),
        ("tests.architectures:failing", "calling it fails (RuntimeError: no such size); expected"),
        ("tests.architectures:no_module", "returns int; expected a torch.nn.Module"),
    ],
)
def test_factories(net, tmp_path, arch, says):
    torch.save(net.state_dict(), tmp_path / "m.pt")
    refused(tmp_path / "m.pt", says, arch=arch)


def test_factory_in_the_working_folder(net, images, tmp_path, monkeypatch):
    (tmp_path / "my_own_network.py").write_text("from tests.architectures import Net as build\n")
    torch.save(net.state_dict(), tmp_path / "m.pt")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    agrees(open_network(tmp_path / "m.pt", arch="my_own_network:build"), net, images)
    assert sys.path == before


def test_weights_want_their_code_and_programs_do_not(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "holds weights without the network", hint="--arch package.module:f")
    path = script(net, tmp_path / "m.pt")
    refused(path, "is a whole model; expected saved weights for --arch", arch=ARCH)


# --- foreign code --------------------------------------------------------------------------


def test_pickled_model_is_refused(net, tmp_path):
    torch.save(net, tmp_path / "whole.pt")
    for arch in (ARCH, None):
        refused(
            *(tmp_path / "whole.pt", "holds pickled Python objects", "Net"),
            hint="torch.save(model.state_dict(), OUT) for --arch package.module:factory, or the",
            arch=arch,
        )
    marker = tmp_path / "ran"
    for older in (False, True):
        path = tmp_path / f"bad{older}.pt"
        torch.save({"w": Payload(marker)}, path, _use_new_zipfile_serialization=not older)
        refused(path, "holds pickled Python objects", arch=ARCH)
    assert not marker.exists()


def changed(path, change):
    """Rewrite a .pt2: ``change`` maps a dict of its members to another."""
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    writer = torch._C.PyTorchFileWriter(str(path))
    for name, content in change(members).items():
        if name not in ("byteorder", ".data/serialization_id", "version", ".data/version"):
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()


def pickled(value):
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_pickles_in_an_exported_program_do_not_run(net, tmp_path):
    marker = tmp_path / "ran"
    path = export(net, tmp_path / "m.pt2")
    payload = pickled(Payload(marker))
    changed(path, lambda members: members | {"data/sample_inputs/model.pt": payload})
    refused(path, "cannot be loaded (")

    def pickle_a_weight(members):
        name = "data/weights/model_weights_config.json"
        config = json.loads(members[name])
        config["config"]["conv.bias"]["use_pickle"] = True
        file = f"data/weights/{config['config']['conv.bias']['path_name']}"
        return members | {name: json.dumps(config).encode(), file: payload}

    changed(export(net, path), pickle_a_weight)
    refused(path, "cannot be loaded (")
    for name in ("data/constants/opaque_obj_0", "data/constants/custom_obj_0"):
        changed(export(net, path), lambda members, name=name: members | {name: b"x"})
        refused(path, f"holds pickled Python objects ({name})")
    assert not marker.exists()


def test_compiled_code_in_an_exported_program(net, tmp_path):
    path = export(net, tmp_path / "m.pt2")
    changed(path, lambda members: members | {"data/aotinductor/model/a.so": b"x"})
    refused(path, "holds compiled code (data/aotinductor/model/a.so)")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"torch.ops.aten.relu.default"', '"torch.os.system"'),
        ('"torch.ops.aten.relu.default"', '"torch.ops.load_library"'),
        ('"torch.ops.aten.relu.default"', '"_operator.methodcaller"'),
        ('"expr_str": "Symbol(', '"expr_str": "__import__(chr(111)) + Symbol('),
        ('"expr_str": "Symbol(', '"expr_str": "().__class__ + Symbol('),
        ('"expr_str": "Symbol(', '"expr_str": "exit(3) + Symbol('),
    ],
)
def test_foreign_calls_in_an_exported_program(net, tmp_path, old, new):
    path = export(net, tmp_path / "m.pt2")
    name = "models/model.json"

    def forge(members):
        program = members[name].decode()
        assert old in program
        return members | {name: program.replace(old, new).encode()}

    changed(path, forge)
    refused(path, "calls '", "; expected only PyTorch's own operators")


def test_damaged_files(net, tmp_path, capfd):
    for path in (script(net, tmp_path / "m.pt"), export(net, tmp_path / "m.pt2")):
        whole = path.read_bytes()
        for kept in (10, len(whole) // 2, len(whole) - 30):
            path.write_bytes(whole[:kept])
            refused(path, f"{path}: ", "expected", arch=ARCH)
    changed(export(net, path), lambda members: members | {"models/model.json": b"{}"})
    refused(path, "cannot be loaded (")
    assert capfd.readouterr() == ("", "")


def test_devices_and_the_missing_extra(net, tmp_path, monkeypatch):
    path = script(net, tmp_path / "m.pt")
    if not torch.cuda.is_available():
        refused(path, "--device cuda: PyTorch finds no CUDA device", device="cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"running m.pt needs the extra \[torch\]"):
        open_network(path)
