"""Run every benchmark and write one table, with the machine it was measured on.

    python benchmarks/all.py -o benchmarks/RESULTS.md

A script prints its rows with `rounds.row`; what it prints besides is shown on the way.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = (
    "startup.py",
    "top_k.py",
    "similarities.py",
    "score.py",
    "evaluation.py",
    "billion.py",
    "cluster.py",
    "pooling.py",
    "identification.py",
    "embed_throughput.py",
    "train_throughput.py",
)
LIBRARIES = ("numpy", "faiss-cpu", "torch", "onnxruntime", "pyarrow", "scikit-learn")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
HEAD = "| what | against | measured | goal |\n| --- | --- | --- | --- |\n"


def main() -> None:
    """Run the scripts one after the other and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("scripts", nargs="*", help="some of them only", metavar="SCRIPT")
    options = parser.parse_args()
    unknown = set(options.scripts) - set(SCRIPTS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {SCRIPTS}")
    rows = [row for script in options.scripts or SCRIPTS for row in _rows(script)]
    options.output.write_text(f"{_machine()}\n{HEAD}{''.join(rows)}", encoding="utf-8")


def _rows(script: str) -> list[str]:
    print(f"== {script}", flush=True)
    rows = []
    command = [sys.executable, str(HERE / script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            print(line, end="", flush=True)
            if line.startswith("| "):
                rows.append(line)
    if run.returncode:
        sys.exit(f"{script} failed")
    return rows


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name, flags = _processor()
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return (
        "# Benchmarks, as measured\n\n"
        f"Written by `python benchmarks/all.py` on {date.today():%Y-%m-%d}. {name}, "
        f"{len(os.sched_getaffinity(0))} cores ({', '.join(flags)}), {memory:.0f} GiB; "
        f"{platform.system()}, Python {platform.python_version()}, {libraries}. Ratios are of "
        "medians, each taken side by side in one run; what a script measures, and how, it says "
        "itself.\n"
    )


def _processor() -> tuple[str, list[str]]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine(), []
    lines = dict(
        [part.strip() for part in line.split(":", 1)]
        for line in cpuinfo.read_text().splitlines()
        if ":" in line
    )
    known = lines.get("flags", "").split()
    return lines.get("model name", platform.machine()), [flag for flag in FLAGS if flag in known]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
