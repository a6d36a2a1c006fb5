"""Speaker trials as a protocol: a list of labelled pairs."""

from __future__ import annotations

from pathlib import Path

from damcli.errors import InputError
from damcli.protocols.official import IdKind
from damcli.protocols.pairs import PairList


class Trials(PairList):
    """VoxCeleb's (``1|0 a b``) or Kaldi's (``a b target|nontarget``) trials.

    Raises
    ------
    InputError
        As `PairList`, or there are no labels.
    """

    unit = "recordings"
    id_kind: IdKind = "paths"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.files = (path,)
        if not self.labelled:
            raise InputError(
                self.origin,
                "carries no labels; expected rows '1|0 a b' or 'a b target|nontarget'",
                row=1,
            )
