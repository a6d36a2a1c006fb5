"""How a file came to be: the commands that made it and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMMAND = "command"
EARLIER = "source_command"


def commands(source: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Record a command after those that made its source.

    Parameters
    ----------
    source
        The attributes of the source.
    command
        What makes the output.

    Returns
    -------
    dict
        ``command``, and ``source_command`` with the earlier ones, oldest first and
        separated by `` && ``, where there are any.
    """
    earlier = [str(source[name]) for name in (EARLIER, COMMAND) if source.get(name)]
    return {COMMAND: command} | ({EARLIER: " && ".join(earlier)} if earlier else {})
