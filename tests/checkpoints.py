"""Small checkpoints of every kind, and a pickle that would do harm."""

from __future__ import annotations

import os

import numpy as np
import pytest

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


def write_checkpoint(path, **tensors):
    """Write the tensors in the format that the suffix names; returns the path."""
    WRITERS[path.suffix](path, **tensors)
    return path
