"""Train on 112 x 112 JPEGs, forward and backward: against the same on batches in memory."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from embed_throughput import write_images
from rounds import compare, row

from damcli.models.backbones import build_backbone
from damcli.sources.opening import open_source
from damcli.training.data import Augment, Micro, classes_of, stream

IMAGES, SUBJECTS = 512, 32
FOREVER = 1 << 40  # so that the workers are never done, and a round ends as it began
ALL = Augment(brightness=0.2, contrast=0.2, saturation=0.2, crop=0.2)


def main() -> None:
    """Make images and a network of random weights, and print the ratio of the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mobile")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--vary", action="store_true", help="colours and crops, not only flips")
    options = parser.parse_args()
    network = build_backbone(options.backbone)

    def train(micros: Iterable[Micro]) -> None:
        for micro in micros:
            network(micro.images).square().mean().backward()
            network.zero_grad()

    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), IMAGES, subjects=SUBJECTS)
        source = open_source(name)
        micros = stream(
            source,
            classes_of(source),
            batch=options.batch,
            augment=ALL if options.vary else Augment(),
            steps=FOREVER,
            workers=options.workers,
        )
        in_memory = list(islice(micros, options.steps))
        train(in_memory)
        contenders = {
            "batches in memory": lambda: train(in_memory),
            "damcli's stream": lambda: train(islice(micros, options.steps)),
        }
        memory, streamed = compare(contenders, options.rounds).values()
        micros.close()
    images = options.batch * options.steps
    print(f"{images / memory:.1f} images/s in memory, {images / streamed:.1f} streamed")
    if options.workers:
        ended = os.times()
        spent = 1e3 * (ended.children_user + ended.children_system)
        print(f"workers: {spent / images / (1 + options.rounds):.2f} ms of processor time an image")
    row("training on a stream of JPEGs", "batches in memory", f"{memory / streamed:.3f}")


if __name__ == "__main__":
    main()
