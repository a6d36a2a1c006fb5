"""Running an ONNX model by onnxruntime."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.models.batching import LoadedNetwork, reason_of
from damcli.models.network import Device, Layout
from damcli.models.onnx_graph import read_graph

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_SILENT = 4  # fatal errors only: the others come as exceptions, and stderr is ours


def open_onnx(
    path: Path,
    *,
    device: Device = "auto",
    threads: int | None = None,
    input_name: str | None = None,
    output_name: str | None = None,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
) -> LoadedNetwork:
    """Load an ONNX model; the arguments are those of `damcli.models.opening.open_network`."""
    graph = read_graph(
        path, input_name=input_name, output_name=output_name, layout=layout, size=size
    )
    session = open_session(path, graph.file.mended, device, threads)
    options = run_options()
    feed, outputs = graph.input.name, [graph.output]

    def forward(batch: NDArray[Any]) -> NDArray[Any]:
        output: NDArray[Any] = session.run(outputs, {feed: batch}, options)[0]
        return np.asarray(output)

    runtime = runtime_of(session)
    return LoadedNetwork(path, graph.file.digest, runtime, graph.input, forward, graph.notes)


def available_cores() -> int:
    """Count the physical cores that this process may run on."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    cores = set()
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            cores.add(siblings.read_text())
        except OSError:
            cores.add(str(cpu))
    return len(cores) or os.cpu_count() or 1


def runtime_of(session: Any) -> str:
    """Say what runs a session, and where."""
    import onnxruntime

    where = "CUDA" if session.get_providers()[0] == _CUDA else "CPU"
    return f"onnxruntime {onnxruntime.__version__}, {where}"


def run_options() -> Any:
    """Return the options of a run that prints nothing."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = _SILENT
    return options


def open_session(path: Path, mended: bytes | None, device: Device, threads: int | None) -> Any:
    """Load a graph into onnxruntime.

    Parameters
    ----------
    path
        Its file.
    mended
        What to run in place of the file; see `damcli.models.onnx_file.CheckedFile`.
    device, threads
        As of `damcli.models.opening.open_network`.

    Raises
    ------
    InputError
        onnxruntime does not take it.
    UserError
        The device that was asked for is not there.
    """
    import onnxruntime

    there = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not there:
        raise _no_cuda("this onnxruntime is built for the CPU only", "pip install onnxruntime-gpu")
    options = _options(path, threads)
    source = str(path) if mended is None else mended
    if there and device != "cpu" and hasattr(onnxruntime, "preload_dlls"):  # since 1.21
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            onnxruntime.preload_dlls()
    # float32 is to mean float32: TF32 keeps 10 bits, and the CPU's numbers would not come out
    cuda = [(_CUDA, {"use_tf32": "0"})] if there and device != "cpu" else []
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints that it tries once more
            session = onnxruntime.InferenceSession(source, options, providers=[*cuda, _CPU])
    except Exception as error:  # its exceptions have no public base
        raise InputError(
            str(path),
            f"cannot be loaded ({reason_of(error)}); expected a model that onnxruntime "
            f"{onnxruntime.__version__} runs",
            hint="a newer onnxruntime may know its operators; else export it again",
        ) from error
    if device == "cuda" and session.get_providers()[0] != _CUDA:
        raise _no_cuda(
            "onnxruntime could not start CUDA",
            "check the driver, and that CUDA and cuDNN are of the versions it was built for",
        )
    return session


def _options(path: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    # a thread that spins while it waits takes the core from those that decode images
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # a mended graph is loaded from memory, which has no folder of its own
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(path.parent.resolve())
    )
    return options


def _no_cuda(found: str, hint: str) -> UserError:
    return UserError(
        f"--device cuda: {found}; expected a CUDA device", hint=f"{hint}; or --device cpu"
    )
