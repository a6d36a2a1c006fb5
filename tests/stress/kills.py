"""Kill commands at random moments, and see that no output is ever half there.

    python -m tests.stress.kills --kills 100

After each kill the output must be absent, whole, or such that the command goes on from it; and
what it is in the end must be what an undisturbed run makes of the same inputs. Prints a line for
each command and signal, and exits with 1 where one did not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.stress.jobs import Job, digest, make_jobs

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SHARES = {"embed": 3, "build-anchors": 3, "score": 3, "fit-lidr": 2, "train": 1}
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Do all kills and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    counts: Counter[tuple[str, str, str]] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = make_jobs(folder)
        known = {one.name for one in folder.iterdir()}
        whole = {one: _undisturbed(folder, jobs[one]) for one in jobs}
        order = rng.choices(list(SHARES), list(SHARES.values()), k=options.kills)
        for kill, one in enumerate(order):
            number = SIGNALS[kill % len(SIGNALS)]
            expected, seconds = whole[one]
            state = _kill(folder, jobs[one], number, rng.random() * seconds)
            fault = _finish(folder, jobs[one], expected)
            counts[one, number.name, state] += 1
            if fault:
                faults.append(f"{one}, {number.name}, left {state}: {fault}")
                print(faults[-1], flush=True)
            _clear(folder, known)
    for key, count in sorted(counts.items()):
        print(*key, count)
    print(f"{options.kills} kills, {len(faults)} faults")
    sys.exit(bool(faults))


def _run(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _undisturbed(folder: Path, job: Job) -> tuple[str, float]:
    start = time.perf_counter()
    done = _run(folder, job.command())
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{job.command()}: {done.stderr}")
    found = digest(folder / job.output)
    _remove(folder / job.output)
    for beside in folder.glob(f"{job.output}.*"):
        beside.unlink()
    return found, seconds


def _kill(folder: Path, job: Job, number: signal.Signals, after: float) -> str:
    """Kill a run after some seconds; return what it left."""
    with subprocess.Popen(
        job.command(),
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as run:
        time.sleep(after)
        run.send_signal(number)
        run.communicate()
    if run.returncode == 0:
        return "whole"
    if (folder / job.output).exists():
        return "an output"
    left = [path for path in folder.iterdir() if path.name.startswith((".", f"{job.output}."))]
    return "something beside it" if left else "nothing"


def _finish(folder: Path, job: Job, expected: str) -> str:
    """Go on after a kill; return what is wrong, or nothing."""
    output = folder / job.output
    if output.is_file() and digest(output) != expected:
        return "the output is there, and not what it should be"
    more = ["--resume"] if job.resumes else ["--force"]
    done = _run(folder, job.command(*more))
    if done.returncode and job.resumes:
        done = _run(folder, job.command("--force"))
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr[-300:]}"
    if digest(output) != expected:
        return "the output of the next run differs"
    drafts = [path.name for path in folder.iterdir() if re.match(r"\.[0-9a-f]{8}\.", path.name)]
    return f"left behind: {drafts}" if drafts else ""


def _clear(folder: Path, known: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in known:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


if __name__ == "__main__":
    main()
