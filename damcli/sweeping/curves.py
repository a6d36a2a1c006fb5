"""What the figures need of a sweep, whether it was just made or read from a file."""

from __future__ import annotations

from typing import Protocol

from damcli.evaluation.results import MetricResult
from damcli.sweeping.settings import Plan, Setting


class Curves(Protocol):
    """The numbers of each setting of a plan, and of cosine."""

    @property
    def plan(self) -> Plan:
        """The settings that were measured."""

    @property
    def anchors(self) -> int:
        """How many anchors there are."""

    @property
    def cosine(self) -> MetricResult:
        """What all settings are compared with."""

    def of(self, setting: Setting) -> MetricResult:
        """Return the numbers of a setting."""
