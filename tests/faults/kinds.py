"""Which commands read which kind of input, and how it may be spoilt."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.damage import Damage


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes
    ----------
    name
        For the names of the tests.
    file
        The sound file, under the folder of these; with a folder before it, all of that is
        copied, and the file in the copy is spoilt.
    damages
        How.
    commands
        What reads it: ``{it}`` is the spoilt file, ``{inputs}`` the folder of the copy,
        ``{good}`` that of the sound files, ``{out}`` one for outputs.
    beside
        Further files that are copied.
    named
        What messages may name in the place of the spoilt file: the folder in which it is not
        found, the list that counts on it.
    """

    name: str
    file: str
    damages: tuple[Damage, ...]
    commands: tuple[str, ...]
    beside: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


PAIRS, EMB, ANCHORS = "{good}/pairs.csv", "{good}/emb.h5", "{good}/anchors.h5"
NONE = "--resamples 0 --far 0.01,0.1"
S = "-o {out}/s.csv --force " + NONE
C = "-o {out}/c.csv --force " + NONE
SWEEP = f"-k 1,5 -s 1 -o {{out}}/sweep.csv --force {NONE}"
CALIBRATE = "-o {out}/cal.json --force --resamples 100 --far 0.1"
REPORT = f"-o {{out}}/r.html --force {NONE}"
IDENTIFY = "-o {out}/c.csv --force --resamples 0"
MODEL = "--color rgb --mean 127.5 --std 127.5"
EMBED = f"--model {{good}}/model.onnx {MODEL} -o {{out}}/e.h5 --force"
TRAIN = "--recipe cpu --dim 4 --batch 8 --workers 0 --device cpu --steps 1"
