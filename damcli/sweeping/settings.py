"""What a sweep measures: numbers of neighbours, scales, and sizes of the anchor set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from damcli.errors import InputError, UserError
from damcli.storage.anchors import Anchors

DEFAULT_K, DEFAULT_S = 10, 1.0
# Those of Fig. 4 of the paper and around them.
KS = (1, 2, 5, 10, 20, 50, 100, 300)
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True)
class Setting:
    """How a DAM score is taken.

    Attributes
    ----------
    k, s
        Neighbours and scale of the LID.
    size, seed
        How many anchors were drawn, and from what seed; None for all of them.
    """

    k: int
    s: float
    size: int | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """What tables and files call it."""
        name = f"k = {self.k}, s = {self.s:g}"
        return name if self.size is None else f"{name}, {self.size} anchors of seed {self.seed}"


DEFAULT = Setting(DEFAULT_K, DEFAULT_S)


@dataclass(frozen=True)
class Plan:
    """The settings of a sweep.

    Every k is measured with every s. Sizes are measured at one k and s, the `base`, for
    each seed.

    Attributes
    ----------
    ks, scales, sizes, seeds
        Ascending, none twice.

    Raises
    ------
    UserError
        A number is out of its range, or stands twice.
    """

    ks: tuple[int, ...] = KS
    scales: tuple[float, ...] = SCALES
    sizes: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for what, numbers in (("k", self.ks), ("s", self.scales), ("size", self.sizes)):
            if not numbers and what != "size":
                raise UserError(f"no {what} to try; expected at least one")
            for number in numbers:
                whole = what == "s" or float(number).is_integer()
                if not (whole and 0 < number < math.inf):
                    kind = "a number" if what == "s" else "a whole number"
                    raise UserError(f"{what} {number:g}: expected {kind} above 0")
            if any(one == other for one, other in pairwise(sorted(numbers))):
                raise UserError(f"a {what} was given twice")
        if bool(self.sizes) != bool(self.seeds):
            raise UserError("sizes and seeds go together; expected both or neither")
        small = [size for size in self.sizes if size < self.base.k]
        if small:
            raise UserError(f"{small[0]} anchors; expected at least {self.base.k}, the k they have")
        for name in ("ks", "scales", "sizes", "seeds"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))

    @property
    def base(self) -> Setting:
        """The setting that all curves go through: of each list what is nearest the default."""
        return Setting(int(_nearest(self.ks, DEFAULT_K)), _nearest(self.scales, DEFAULT_S))

    @property
    def along_k(self) -> tuple[Setting, ...]:
        """The settings of the curve over k."""
        return tuple(Setting(k, self.base.s) for k in self.ks)

    @property
    def along_s(self) -> tuple[Setting, ...]:
        """The settings of the curve over s."""
        return tuple(Setting(self.base.k, s) for s in self.scales)

    @property
    def curves(self) -> tuple[Setting, ...]:
        """Both, `base` first and once."""
        return tuple(dict.fromkeys((self.base, *self.along_k, *self.along_s)))

    @property
    def grid(self) -> tuple[Setting, ...]:
        """Every k with every s."""
        return tuple(Setting(k, s) for k in self.ks for s in self.scales)

    @property
    def drawn(self) -> tuple[Setting, ...]:
        """Every size with every seed."""
        k, s = self.base.k, self.base.s
        return tuple(Setting(k, s, size, seed) for size in self.sizes for seed in self.seeds)

    def check(self, anchors: Anchors) -> None:
        """Refuse more neighbours, or larger draws, than there are anchors."""
        for most, what in ((self.ks[-1], "k"), (max(self.sizes, default=0), "size")):
            if most > len(anchors):
                raise InputError(
                    anchors.origin,
                    f"holds {len(anchors):,} anchors; expected at least {most:,}, the largest "
                    f"{what} asked for",
                    hint=f"leave out what is above {len(anchors)}, or build more anchors",
                )


def _nearest(numbers: Sequence[float], default: float) -> float:
    """Find what is nearest to the default by ratio; the smaller of two."""
    return min(sorted(numbers), key=lambda number: abs(math.log(number / default)))
