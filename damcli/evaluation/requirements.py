"""What scores must reach, as one writes it: ``TAR@1e-4 >= 0.95``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from damcli.errors import UserError

TAR, FAR, EER, AUC, ACCURACY = "TAR", "FAR", "EER", "AUC", "accuracy"
_NUMBER = r"(\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_GRAMMAR = re.compile(
    rf"(?:(?P<score>.+):)?\s*(?P<quantity>TAR|FAR|EER|AUC|accuracy)"
    rf"(?:@(?P<far>{_NUMBER}\s*%?))?\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>{_NUMBER}\s*%?)",
    re.IGNORECASE,
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_EXAMPLES = 'for example "TAR@1e-4 >= 0.95", "EER <= 2%" or "cosine:AUC > 0.99"'


@dataclass(frozen=True)
class Requirement:
    """A bound on one quantity.

    Attributes
    ----------
    text
        As it was written.
    score
        Of which score; None for the main one.
    quantity
        ``TAR``, ``FAR``, ``EER``, ``AUC`` or ``accuracy``.
    far
        The rate at which TAR is asked for; TAR without one, and FAR, are those at a given
        threshold.
    sign
        ``>=``, ``>``, ``<=`` or ``<``.
    bound
        A fraction.
    """

    text: str
    score: str | None
    quantity: str
    far: float | None
    sign: str
    bound: float

    @property
    def at_threshold(self) -> bool:
        """Whether a threshold must be given to measure it."""
        return self.far is None and self.quantity in (TAR, FAR)

    def holds(self, value: float) -> bool:
        """Tell whether a value meets the bound; equality does for ``>=`` and ``<=``."""
        return _SIGNS[self.sign](value, self.bound)


def parse_requirement(text: str) -> Requirement:
    """Read ``[SCORE:]QUANTITY SIGN BOUND``.

    QUANTITY is ``TAR@RATE``, ``EER``, ``AUC`` or ``accuracy``, or at a given threshold ``TAR``
    or ``FAR``; SIGN is ``>=``, ``>``, ``<=`` or ``<``; BOUND is a fraction or a percentage.

    Raises
    ------
    UserError
        The text is none, or a rate in it is not between 0 and 1.
    """
    found = _GRAMMAR.fullmatch(text.strip())
    if found is None:
        raise UserError(f"'{text}': expected a quantity, a sign and a bound, {_EXAMPLES}")
    names = {name.lower(): name for name in (TAR, FAR, EER, AUC, ACCURACY)}
    quantity = names[found["quantity"].lower()]
    far = None if found["far"] is None else fraction(found["far"])
    if far is not None and quantity != TAR:
        raise UserError(f"'{text}': {quantity} takes no rate; expected TAR@RATE, {_EXAMPLES}")
    if far is not None and not 0 < far < 1:
        raise UserError(f"'{text}': FAR {far:g}; expected a fraction between 0 and 1")
    bound = fraction(found["bound"])
    if not 0 <= bound <= 1:
        raise UserError(f"'{text}': bound {bound:g}; expected a fraction up to 1, or 95%")
    score = None if found["score"] is None else found["score"].strip()
    return Requirement(text.strip(), score, quantity, far, found["sign"], bound)


def fraction(text: str) -> float:
    """Read ``0.95`` or ``95%``, rounded once."""
    if text.endswith("%"):
        return float(Decimal(text[:-1].strip()) / 100)
    return float(text)
