"""Bytes to pixels: every pixel type as it is meant, and nothing half read."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from damcli.errors import InputError
from damcli.sources.decoding import decode
from tests.images import encoded, picture

LOSSLESS_BY_OPTION = [("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"})]


def read(data: bytes) -> np.ndarray:
    pixels = decode(data, "a.img")
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    return pixels


def as_file(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "how"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), *LOSSLESS_BY_OPTION],
)
def test_what_is_stored_without_loss_comes_back(kind, how):
    wanted = picture()
    np.testing.assert_array_equal(read(encoded(wanted, kind, **how)), wanted)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_greys_become_equal_channels(kind):
    grey = picture()[..., 0]
    np.testing.assert_array_equal(read(encoded(grey, kind)), np.stack([grey] * 3, axis=2))


def test_black_and_white_bits():
    bits = picture()[..., 0] > 127
    for kind in ("PNG", "PPM", "TIFF"):
        pixels = read(as_file(Image.fromarray(bits), kind))
        np.testing.assert_array_equal(pixels[..., 1], bits * np.uint8(255))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_files_agree_with_opencv(kind):
    cv2 = pytest.importorskip("cv2")
    smooth = np.linspace(0, 255, 64 * 48 * 3).astype(np.uint8).reshape(64, 48, 3)
    data = encoded(smooth, kind, quality=90)
    theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(read(data).astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("alpha", [0, 7, 255])
def test_alpha_is_dropped_as_opencv_does(alpha):
    wanted = picture()
    both = np.dstack([wanted, np.full(wanted.shape[:2], alpha, np.uint8)])
    for kind, how in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        np.testing.assert_array_equal(read(encoded(both, kind, **how)), wanted)
    grey = Image.merge("LA", [Image.fromarray(wanted[..., 0]), Image.fromarray(both[..., 3])])
    np.testing.assert_array_equal(read(as_file(grey, "PNG"))[..., 2], wanted[..., 0])


@pytest.mark.parametrize(
    ("kind", "transparency"),
    [("PNG", None), ("PNG", 3), ("PNG", b"\x00\x80\xff"), ("GIF", None), ("GIF", 3)],
)
def test_palettes_give_their_colours(kind, transparency):
    indexed = Image.fromarray(picture()).quantize(16)
    wanted = np.asarray(indexed.convert("RGB"))
    how = {} if transparency is None else {"transparency": transparency}
    np.testing.assert_array_equal(read(as_file(indexed, kind, **how)), wanted)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_greys_keep_black_and_white(kind):
    levels = np.array([[0, 128, 129, 257], [32767, 32768, 65280, 65535]], dtype=np.uint16)
    pixels = read(encoded(levels, kind))
    np.testing.assert_array_equal(pixels[..., 0], [[0, 0, 1, 1], [127, 128, 254, 255]])
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def png_of_16_bit_colours(levels: np.ndarray) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_sixteen_bit_colours_are_not_clipped(rng):
    levels = rng.integers(0, 65536, (5, 6, 3), dtype=np.uint16)
    levels[0, 0] = 0, 65535, 300
    pixels = read(png_of_16_bit_colours(levels))
    np.testing.assert_array_equal(pixels, levels >> 8)
    assert np.abs(pixels - levels / 257).max() < 1


@pytest.mark.parametrize("maximum", [1023, 4095])
def test_a_pgm_of_another_maximum_is_scaled_to_white(maximum):
    levels = np.array([[0, maximum // 2, maximum]], dtype=">u2")
    pixels = read(b"P5 3 1 %d\n" % maximum + levels.tobytes())
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 127, 255])


def test_cmyk_jpegs_become_rgb():
    colours = np.zeros((16, 16, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
    data = as_file(Image.fromarray(colours).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(read(data).astype(int) - colours).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert wanted.shape[:2] == ((10, 12) if orientation in (5, 6, 7, 8) else (12, 10))
    np.testing.assert_array_equal(read(data), wanted)


def test_orientation_of_sixteen_bit_greys():
    exif = Image.Exif()
    exif[0x0112] = 6
    levels = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    pixels = read(encoded(levels, "PNG", exif=exif))
    np.testing.assert_array_equal(pixels[..., 0], [[3, 0], [4, 1], [5, 2]])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(kind):
    first, second = (Image.fromarray(picture(seed)).quantize(64) for seed in (1, 2))
    wanted = np.asarray(first.convert("RGB"))
    lossless = {"lossless": True} if kind == "WEBP" else {}
    frames = [image.convert("RGB") if kind != "GIF" else image for image in (first, second)]
    data = as_file(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
    np.testing.assert_array_equal(read(data), wanted)


def refused(data: bytes, found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        decode(data, "here.jpg")
    assert str(caught.value).startswith("here.jpg: ")


def test_what_is_no_image_says_what_it_begins_with():
    refused(b"", r"is empty \(0 bytes\); expected JPEG")
    refused(b"<html><body>404", r"its 15 bytes begin with '<html><body>404'")
    refused(b"\x00\x01\x02\x03\x04", "begin with 00010203 04")
    refused(as_file(Image.fromarray(picture()), "TGA"), "no image of a known format")
    refused(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format")


def test_pixels_without_a_known_range_are_refused():
    refused(encoded(np.ones((3, 3), np.float32), "TIFF"), "floating-point numbers")
    refused(encoded(np.ones((3, 3), np.int32), "TIFF"), "32-bit whole numbers")
    twelve = encoded(np.ones((3, 4), np.uint16), "TIFF")
    twelve = twelve.replace(
        struct.pack("<HHIHH", 258, 3, 1, 16, 0), struct.pack("<HHIHH", 258, 3, 1, 12, 0)
    )
    refused(twelve, "12-bit greys")


def test_a_bomb_is_refused_before_it_goes_off(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    refused(encoded(picture()), "is too large .*120 pixels")


WHOLE = {
    kind: encoded(picture(3, 24, 20), kind)
    for kind in ("PNG", "JPEG", "BMP", "PPM", "TIFF", "WEBP")
} | {"GIF": encoded(picture(3, 24, 20)[..., 0], "GIF")}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_refused_or_still_whole(kind):
    whole, wanted = WHOLE[kind], read(WHOLE[kind])
    refusals = 0
    for end in range(1, len(whole), 7):
        try:
            found = decode(whole[:end], "here")
        except InputError:
            refusals += 1
        else:
            np.testing.assert_array_equal(found, wanted)
    assert refusals > 0.9 * (len(whole) // 7)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.sampled_from(sorted(WHOLE)), st.data())
@settings(deadline=None, max_examples=200)
def test_damage_never_raises_anything_else(kind, data):
    damaged = bytearray(WHOLE[kind])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(damaged), "here").shape[2] == 3
    except InputError as error:
        assert str(error).startswith("here: ")
