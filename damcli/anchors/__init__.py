"""Anchors: choosing the embeddings that stand for other people."""

from damcli.anchors.selection import Dropped, build_anchors

__all__ = ["Dropped", "build_anchors"]
