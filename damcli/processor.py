"""What the processor can do, and what a library does not know of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# What OpenBLAS asks for before it takes the kernels of its wide vectors.
_WIDE = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_CORE_TYPE = "OPENBLAS_CORETYPE"


@cache
def flags() -> frozenset[str]:
    """Return the names of its instructions; none where the system does not tell."""
    return frozenset(_lines().get("flags", "").split())


def prefer_wide_products() -> None:
    """Have OpenBLAS use AVX-512 on processors of AMD, which it takes for those without.

    That multiplies 1.7 times as many float64 a second on a Zen 5. It must be called before
    numpy is imported; what a user has set stays.
    """
    if _lines().get("vendor_id") == "AuthenticAMD" and flags() >= _WIDE:
        os.environ.setdefault(_CORE_TYPE, "SkylakeX")


@cache
def _lines() -> Mapping[str, str]:
    """Read the description of the first core."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    first = text.partition("\n\n")[0]
    parts = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in parts}
