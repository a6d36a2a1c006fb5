"""Made-up regressors."""

from __future__ import annotations

from typing import Any

import numpy as np

from damcli.storage.lidr import Layer, Lidr


def lidr(*, dim: int = 16, hidden: int = 6, seed: int = 0, **more: Any) -> Lidr:
    rng = np.random.default_rng(seed)
    shapes = ((hidden, dim), (hidden,), (1, hidden), (1,))
    w1, b1, w2, b2 = (rng.normal(size=shape).astype(np.float32) / 4 for shape in shapes)
    middle = 10.0 if more.get("target") == "g" else np.log(10)
    layers = (Layer(w1, b1), Layer(w2, (b2 + middle).astype(np.float32)))
    return Lidr(layers, **{"k": 10, "s": 1.0, "anchor_count": 40, **more})
