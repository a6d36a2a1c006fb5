"""The bytes of an image file to pixels, the same for every way a file can store them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from damcli.errors import InputError
from damcli.sources.source import Image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF", "GIF")
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".gif"),
)
_EXPECTED = "expected JPEG, PNG, BMP, WebP, PGM/PPM, TIFF or GIF"
_ORIENTATION = 0x0112
# how to turn and mirror what was stored, by the value of EXIF's tag; numpy's axes
_UPRIGHT: dict[int, tuple[int, bool]] = {
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}


def decode(data: bytes, place: str) -> Image:
    """Decode an image file.

    The pixels are those that ``cv2.imread`` and Pillow's ``convert("RGB")`` give where these
    two agree: grey and palette images become RGB, alpha is dropped (what is transparent
    keeps the colour that it hides), colour profiles are not applied, of an animation the
    first frame is taken. 16-bit grey levels are divided by 257 and rounded, so that black
    and white stay what they are; of 16-bit colours the upper 8 bits are taken. EXIF's
    orientation is applied.

    Parameters
    ----------
    data
        The whole file.
    place
        Where it lies, for messages.

    Returns
    -------
    Image
        (H, W, 3) uint8, RGB; it owns its memory.

    Raises
    ------
    InputError
        It is empty, cut short, of an unknown format or an unusual pixel type, or so large
        (Pillow's limit, 179 million pixels) that it may be meant to fill the memory.
    """
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if not data:
        raise InputError(place, f"is empty (0 bytes); {_EXPECTED}")
    with _damage_reported(place):
        try:
            opened = Pillow.open(BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            raise _unknown(data, place) from error
        with opened:
            pixels = _as_rgb(opened, place)
            return _upright(pixels, opened.getexif().get(_ORIENTATION))


@contextmanager
def _damage_reported(place: str) -> Iterator[None]:
    from PIL.Image import DecompressionBombError

    try:
        yield
    except InputError:
        raise
    except DecompressionBombError as error:
        raise InputError(
            place, f"is too large ({error})", hint="make it smaller, if it is what it says"
        ) from error
    except Exception as error:  # on damaged bytes the decoders raise whatever comes
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            place,
            f"cannot be decoded ({said}); expected a whole image",
            hint="it may be cut short: fetch it again",
        ) from error


def _as_rgb(image: PillowImage, place: str) -> Image:
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PPM", "PNG")):
        _check_full_range(image, place)
        levels = np.asarray(image).astype(np.uint32)
        grey = ((levels + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if mode in ("I", "F", "LAB"):
        what = {"I": "32-bit whole numbers", "F": "floating-point numbers", "LAB": "L*a*b*"}
        raise InputError(
            place,
            f"has pixels of {what[mode]}, whose black and white are not known; expected 8 or 16 "
            "bits",
            hint="save it with 8 bits a channel",
        )
    image.load()
    # Pillow would warn that it drops what is transparent in a palette; that is meant
    image.info.pop("transparency", None)
    return np.array(image if mode == "RGB" else image.convert("RGB"), dtype=np.uint8)


def _check_full_range(image: PillowImage, place: str) -> None:
    """Refuse the 16-bit greys of which Pillow does not say where black and white are."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF only
    bits, black_is_zero = tags.get(258, (16,)), tags.get(262, 1) == 1
    if bits != (16,) or not black_is_zero:
        what = f"{bits[0]}-bit greys" if black_is_zero else "16-bit greys with white as 0"
        raise InputError(
            place, f"has {what}; expected 8 or 16 bits, black as 0", hint="save it as PNG"
        )


def _upright(pixels: Image, orientation: Any) -> Image:
    if orientation not in _UPRIGHT:
        return pixels
    quarters, mirrored = _UPRIGHT[orientation]
    turned = np.rot90(pixels, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _unknown(data: bytes, place: str) -> InputError:
    begin = data[:24]
    text = begin.decode("latin-1")
    shown = repr(text) if text.isprintable() else begin.hex(" ", -4)
    return InputError(
        place,
        f"is no image of a known format (its {len(data)} bytes begin with {shown}); {_EXPECTED}",
        hint="the first bytes of a web page or of another format tell what was saved instead",
    )
