"""``damcli train`` with the stand-in for a backbone, for torchrun."""

from __future__ import annotations

import sys
from unittest.mock import patch

import torch

from damcli.cli.app import main
from tests.training import small_backbone

if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.argv = ["damcli", "train", *sys.argv[1:]]
    with (
        patch("damcli.training.learner.build_backbone", small_backbone),
        patch("damcli.models.trained.build_backbone", small_backbone),
    ):
        main()
