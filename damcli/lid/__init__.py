"""The local inter-class discrepancy (LID): how crowded it is around an embedding."""

from damcli.lid.candidates import Neighbours
from damcli.lid.discrepancy import log_lid
from damcli.lid.neighbours import nearest_anchors

__all__ = ["Neighbours", "log_lid", "nearest_anchors"]
