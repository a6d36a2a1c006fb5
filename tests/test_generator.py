from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.errors import InputError, UserError
from damcli.models.generators import open_generator
from damcli.models.pixel_range import PixelRange, recognise_range
from tests.generators import (
    DIM,
    SIDE,
    expected_images,
    exported_generator,
    onnx_generator,
    script_generator,
)
from tests.networks import conv_net

LATENTS = np.random.default_rng(1).normal(size=(5, DIM)).astype(np.float32)


def pixels(path: Path, latents: Any = LATENTS, **options: Any) -> Any:
    made = open_generator(path, device="cpu", **options).generate(latents)
    return recognise_range(made, str(path)).to_pixels(made)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"latent": (DIM, 1, 1)},
        {"layout": "NHWC"},
        {"batch": 1},
        {"batch": 2},
        {"batch": 8},
        {"scale": 0.5, "shift": 0.5},
        {"scale": 127.5, "shift": 127.5},
        {"scale": 127.5, "shift": 127.5, "to_uint8": True},
        {"psi": 1.0},
    ],
    ids=str,
)
def test_every_form_of_a_generator_gives_the_same_pixels(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    made = pixels(onnx_generator(tmp_path / "gan.onnx", **more))
    expected = expected_images(LATENTS)
    assert made.shape == (5, SIDE, SIDE, 3)
    assert np.abs(made.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("inside", "said", "batch"),
    [
        ("", None, None),
        ("one", "a batch size of 1 is fixed inside the graph", 1),
        ("mean", "its faces depend on the other latents of a batch", 1),
        ("noise", "draws noise of its own", None),
    ],
)
def test_a_face_depends_on_its_latent_alone_or_it_is_said(
    tmp_path: Path, inside: str, said: str | None, batch: int | None
) -> None:
    path = onnx_generator(tmp_path / "gan.onnx", inside=inside)
    made = open_generator(path, device="cpu")
    assert made.batch == batch
    assert len(made.notes) == (said is not None)
    assert said is None or said in made.notes[0]
    if inside != "noise":
        alone = [made.generate(LATENTS[row : row + 1]) for row in range(5)]
        assert np.allclose(made.generate(LATENTS), np.concatenate(alone), atol=1e-6)


def test_channels_in_the_other_order(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx")
    assert np.array_equal(pixels(path, color="bgr"), pixels(path)[..., ::-1])


def test_the_latent_is_described_by_the_graph(tmp_path: Path) -> None:
    made = open_generator(onnx_generator(tmp_path / "gan.onnx", latent=(DIM, 1, 1)), device="cpu")
    assert (made.latent_shape, made.latent_dim, made.name) == ((DIM, 1, 1), DIM, "gan.onnx")


def test_a_latent_of_open_shape_must_be_stated(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx", latent=("z",))
    with pytest.raises(InputError, match=r"shape of its latent z \(\?, \?\)") as found:
        open_generator(path)
    assert "--latent" in str(found.value.hint)
    assert np.array_equal(pixels(path, latent=(DIM,)), pixels(onnx_generator(tmp_path / "b.onnx")))


def test_a_stated_latent_that_the_graph_denies(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx")
    with pytest.raises(InputError, match="its latent is 6; --latent states 512"):
        open_generator(path, latent=(512,))
    assert open_generator(path, latent=(DIM, 1, 1)).latent_shape == (DIM,)


def test_an_input_with_a_default_is_left_out_or_given(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx", psi=0.5)
    half = expected_images(LATENTS / 2)
    assert np.abs(pixels(path).astype(int) - half).max() <= 1
    whole = pixels(path, values={"psi": 1.0})
    assert np.abs(whole.astype(int) - expected_images(LATENTS)).max() <= 1


def test_several_inputs_are_listed_until_each_has_a_value(tmp_path: Path) -> None:
    extra = (("label", "INT64", ("batch",)), ("noise", "FLOAT", (1, 1, 4, 4)))
    path = onnx_generator(tmp_path / "gan.onnx", extra=extra, psi=1.0)
    with pytest.raises(InputError, match="3 inputs without a value") as found:
        open_generator(path, values={})
    for part in (
        "z (?, 6) float32",
        "label (?) int64",
        "noise (1, 1, 4, 4)",
        "psi () float32 with",
    ):
        assert part in str(found.value)
    assert "--generator-input NAME=VALUE" in str(found.value.hint)
    with pytest.raises(InputError, match="2 inputs without a value"):
        open_generator(path, values={"label": 0})
    made = pixels(path, values={"label": 0, "noise": 0})
    assert np.abs(made.astype(int) - expected_images(LATENTS)).max() <= 1


def test_a_value_for_no_input(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx")
    with pytest.raises(InputError, match=r"no input 'truncation'; expected one of: z \(\?, 6\)"):
        open_generator(path, values={"truncation": 0.5})
    with pytest.raises(InputError, match="0 inputs without a value"):
        open_generator(path, values={"z": 0})


def test_several_images_come_out(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx", outputs=2)
    with pytest.raises(InputError, match="2 outputs are colour images") as found:
        pixels(path)
    assert "--generator-output" in str(found.value.hint)
    assert np.array_equal(pixels(path, output="image"), 255 - pixels(path, output="other1"))
    with pytest.raises(InputError, match=r"no output 'faces'; expected one of: image \(1, 3, 16"):
        pixels(path, output="faces")


def test_a_graph_that_makes_no_images(tmp_path: Path) -> None:
    path = conv_net(tmp_path / "net.onnx", size=(16, 16))
    with pytest.raises(InputError, match=r"no output is an image, of: embedding \(1") as caught:
        open_generator(path, device="cpu")
    assert caught.value.hint == "is it a generator of images?"


def test_what_does_not_run_says_why(tmp_path: Path) -> None:
    path = onnx_generator(tmp_path / "gan.onnx", latent=("z",))
    with pytest.raises(InputError, match=r"does not run on latents of shape \(1, 4\) "):
        pixels(path, np.zeros((5, 4), dtype=np.float32), latent=(4,))


def test_files_that_are_no_generators(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected a generator"):
        open_generator(tmp_path / "gan.onnx")
    (tmp_path / "gan.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"'\.bin'"):
        open_generator(tmp_path / "gan.bin")
    (tmp_path / "gan.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match=r"gan\.onnx: cannot be read"):
        open_generator(tmp_path / "gan.onnx")


def test_torchscript(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = script_generator(tmp_path / "gan.pt")
    half = expected_images(LATENTS / 2)
    assert np.abs(pixels(path, latent=(DIM,)).astype(int) - half).max() <= 1
    given = {"psi": 1.0, "noise": 0.0}
    assert (
        np.abs(
            pixels(path, latent=(DIM, 1, 1), values=given).astype(int) - expected_images(LATENTS)
        ).max()
        <= 1
    )
    with pytest.raises(InputError, match=r"shape \(1, 9\) \(RuntimeError: mat1 and mat2 .*\); exp"):
        open_generator(path, device="cpu", latent=(9,))
    with pytest.raises(InputError, match=r"does not tell the shape of its latent z"):
        open_generator(path, device="cpu")
    with pytest.raises(InputError, match=r"no input 'c'; expected one of: z .*psi \(number\) with"):
        open_generator(path, device="cpu", latent=(DIM,), values={"c": 0})


def test_what_torch_export_saved_tells_its_shapes(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for keyword in (False, True):
        path = exported_generator(tmp_path / "gan.pt2", keyword=keyword)
        with pytest.raises(InputError, match=r"2 inputs .* z \(\?, 6\) float32, psi \(\) float32"):
            open_generator(path, device="cpu")
        made = pixels(path, values={"psi": 1.0})
        assert np.abs(made.astype(int) - expected_images(LATENTS)).max() <= 1
    program = open_generator(path, device="cpu", values={"psi": 0.5})
    assert program.latent_shape == (DIM,)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("sprung"),))


def test_what_pytorch_saves_and_is_no_program_is_not_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(3), "trap": Trap()}, "gan.pt")
    Path("old.pt").write_bytes(pickle.dumps(Trap()))
    for name in ("gan.pt", "old.pt"):
        with pytest.raises(InputError, match="is no program of PyTorch"):
            open_generator(Path(name), device="cpu")
    assert not Path("sprung").exists()
    script_generator(Path("cut.pt"))
    content = Path("cut.pt").read_bytes()
    Path("cut.pt").write_bytes(content.replace(b"PK", b"XX", 1))
    with pytest.raises(InputError, match=r"cannot be loaded|is no program"):
        open_generator(Path("cut.pt"), device="cpu")


@pytest.mark.parametrize("write", [onnx_generator, script_generator])
def test_a_device_that_is_not_there(tmp_path: Path, write: Any) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    path = write(tmp_path / ("gan.onnx" if write is onnx_generator else "gan.pt"))
    with pytest.raises(UserError, match=r"--device cuda: .*expected"):
        open_generator(path, device="cuda", latent=(DIM,))


RANGES = [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)]


@pytest.mark.parametrize(("black", "white"), RANGES)
@given(st.integers(0, 2**32), st.floats(0.3, 1.1))
def test_photographs_are_recognised(black: float, white: float, seed: int, contrast: float) -> None:
    """Of any contrast and exposure, the right range is found or none: never another."""
    rng = np.random.default_rng(seed)
    grey = 0.5 + contrast * (rng.beta(0.5, 0.5, size=4000) - 0.5)
    values = (black + (white - black) * grey).astype(np.float32)
    try:
        found = recognise_range(values, "gan")
    except InputError:
        assert contrast < 0.6
    else:
        assert (found.black, found.white) == (black, white)


@given(
    st.lists(st.floats(-400, 400, width=32), min_size=4, max_size=60),
    st.sampled_from([1.0, 0.01, 0.004]),
)
def test_no_values_fit_two_ranges(values: list[float], scale: float) -> None:
    table = np.array(values, dtype=np.float32) * np.float32(scale)
    assert sum(PixelRange(*ends)._is_filled_by(table) for ends in RANGES) <= 1


def test_values_of_no_range_must_be_stated() -> None:
    normalised = np.random.default_rng(0).normal(size=9000).astype(np.float32) * 2
    with pytest.raises(InputError, match="values from -") as found:
        recognise_range(normalised, "gan.onnx")
    assert "--generator-range" in str(found.value.hint)


def test_black_and_white_are_0_and_255_and_beyond_is_cut() -> None:
    values = np.array([-1.1, -1.0, 0.0, 1.0, 1.1], dtype=np.float32)
    assert PixelRange(-1, 1).to_pixels(values).tolist() == [0, 0, 128, 255, 255]
    assert PixelRange(0, 1).to_pixels(np.float16([0.0, 0.5, 1.0])).tolist() == [0, 128, 255]


def test_a_wrong_range_is_contradicted() -> None:
    values = np.linspace(-1, 1, 1000, dtype=np.float32)
    PixelRange(-1, 1).check(values * 1.1, "gan")
    with pytest.raises(UserError, match=r"42% of the values lie far outside 0\.\.1 \(stated\)"):
        PixelRange(0, 1).check(values, "gan")
    with pytest.raises(UserError, match=r"far outside -1\.\.1"):
        PixelRange(-1, 1).check(values * 127 + 127, "gan")
