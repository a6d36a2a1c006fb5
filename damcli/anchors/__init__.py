"""Anchors: choosing the embeddings that stand for other people."""

from damcli.anchors.selection import Dropped, NearDuplicates, build_anchors

__all__ = ["Dropped", "NearDuplicates", "build_anchors"]
