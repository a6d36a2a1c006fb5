"""Better verification from the embeddings you already have.

The names below are the Python API; the commands are made of the same calls.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from damcli.anchors import NearDuplicates, build_anchors
    from damcli.calibration import calibrate
    from damcli.embedding.embed import Embedded, embed
    from damcli.evaluation import Evaluation, evaluate
    from damcli.identification.identify import identify
    from damcli.lid import log_lid
    from damcli.lid.fit_lidr import fit_lidr
    from damcli.metrics import log_dam
    from damcli.models.opening import open_network
    from damcli.models.preprocessing import Preprocessing, resolve_preprocessing
    from damcli.pooling.pool import Pooled, pool
    from damcli.protocols.naming import fit_ids
    from damcli.protocols.opening import open_protocol
    from damcli.protocols.pairs import read_pairs
    from damcli.protocols.template_lists import read_templates
    from damcli.protocols.templates import templates_by
    from damcli.scoring.all_pairs import all_pairs
    from damcli.scoring.compare import compare
    from damcli.scoring.score import score
    from damcli.sources.opening import open_source
    from damcli.storage.anchors import Anchors
    from damcli.storage.calibration import Calibration, read_calibration, write_calibration
    from damcli.storage.embeddings import Embeddings
    from damcli.storage.files import open_embeddings, read_anchors, read_embeddings
    from damcli.storage.hdf5 import write_embeddings
    from damcli.storage.lidr import Lidr, read_lidr, write_lidr
    from damcli.sweeping.choose import judge
    from damcli.sweeping.settings import Plan, Setting
    from damcli.sweeping.sweep import sweep

    __version__: str

# Set before ONNX Runtime is loaded, which else reports its use and the names of models.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Imported when first used, so that `damcli --help` does not wait for numpy.
_HOMES = {
    "Anchors": "damcli.storage.anchors",
    "Calibration": "damcli.storage.calibration",
    "Embedded": "damcli.embedding.embed",
    "Embeddings": "damcli.storage.embeddings",
    "Evaluation": "damcli.evaluation",
    "Lidr": "damcli.storage.lidr",
    "NearDuplicates": "damcli.anchors",
    "Plan": "damcli.sweeping.settings",
    "Pooled": "damcli.pooling.pool",
    "Preprocessing": "damcli.models.preprocessing",
    "Setting": "damcli.sweeping.settings",
    "all_pairs": "damcli.scoring.all_pairs",
    "build_anchors": "damcli.anchors",
    "calibrate": "damcli.calibration",
    "compare": "damcli.scoring.compare",
    "embed": "damcli.embedding.embed",
    "evaluate": "damcli.evaluation",
    "fit_ids": "damcli.protocols.naming",
    "fit_lidr": "damcli.lid.fit_lidr",
    "identify": "damcli.identification.identify",
    "judge": "damcli.sweeping.choose",
    "log_dam": "damcli.metrics",
    "log_lid": "damcli.lid",
    "open_embeddings": "damcli.storage.files",
    "open_network": "damcli.models.opening",
    "open_protocol": "damcli.protocols.opening",
    "open_source": "damcli.sources.opening",
    "pool": "damcli.pooling.pool",
    "read_anchors": "damcli.storage.files",
    "read_calibration": "damcli.storage.calibration",
    "read_embeddings": "damcli.storage.files",
    "read_lidr": "damcli.storage.lidr",
    "read_pairs": "damcli.protocols.pairs",
    "read_templates": "damcli.protocols.template_lists",
    "resolve_preprocessing": "damcli.models.preprocessing",
    "score": "damcli.scoring.score",
    "sweep": "damcli.sweeping.sweep",
    "templates_by": "damcli.protocols.templates",
    "write_calibration": "damcli.storage.calibration",
    "write_embeddings": "damcli.storage.hdf5",
    "write_lidr": "damcli.storage.lidr",
}

__all__ = [
    "Anchors",
    "Calibration",
    "Embedded",
    "Embeddings",
    "Evaluation",
    "Lidr",
    "NearDuplicates",
    "Plan",
    "Pooled",
    "Preprocessing",
    "Setting",
    "__version__",
    "all_pairs",
    "build_anchors",
    "calibrate",
    "compare",
    "embed",
    "evaluate",
    "fit_ids",
    "fit_lidr",
    "identify",
    "judge",
    "log_dam",
    "log_lid",
    "open_embeddings",
    "open_network",
    "open_protocol",
    "open_source",
    "pool",
    "read_anchors",
    "read_calibration",
    "read_embeddings",
    "read_lidr",
    "read_pairs",
    "read_templates",
    "resolve_preprocessing",
    "score",
    "sweep",
    "templates_by",
    "write_calibration",
    "write_embeddings",
    "write_lidr",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("damcli")
    if name not in _HOMES:
        raise AttributeError(f"module 'damcli' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
