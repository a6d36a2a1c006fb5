"""Pictures in memory, and independent writers of the files that hold many of them."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

MAGIC = bytes.fromhex("0a23d7ce")


def picture(seed: int = 0, height: int = 12, width: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **how)
    return file.getvalue()


def png(seed: int = 0) -> bytes:
    return encoded(picture(seed))


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(seed))
    return path


def record(label: float | Sequence[float], image: bytes, key: int = 0) -> bytes:
    """Return the payload of a record as MXNet's ``pack`` makes it."""
    if isinstance(label, int | float):
        return struct.pack("<IfQQ", 0, label, key, 0) + image
    head = struct.pack("<IfQQ", len(label), 0.0, key, 0)
    return head + b"".join(struct.pack("<f", one) for one in label) + image


def split_at_magic(payload: bytes) -> list[bytes]:
    """Cut the payload at every aligned magic, which is left out."""
    parts, start = [], 0
    for at in range(0, len(payload) // 4 * 4, 4):
        if payload[at : at + 4] == MAGIC:
            parts.append(payload[start:at])
            start = at + 4
    return [*parts, payload[start:]]


def recordio(payloads: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """Return the bytes of a ``.rec`` and the offsets of its records."""
    out, offsets = b"", []
    for payload in payloads:
        offsets.append(len(out))
        parts = split_at_magic(payload)
        kinds = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
        for kind, part in zip(kinds, parts, strict=True):
            out += MAGIC + struct.pack("<I", kind << 29 | len(part))
            out += part + bytes(-len(part) % 4)
    return out, offsets


def write_recordio(path: Path, payloads: dict[int, bytes]) -> Path:
    data, offsets = recordio(list(payloads.values()))
    path.write_bytes(data)
    lines = (f"{key}\t{at}\n" for key, at in zip(payloads, offsets, strict=True))
    path.with_suffix(".idx").write_text("".join(lines))
    return path
