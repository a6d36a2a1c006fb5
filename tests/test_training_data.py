"""The stream of micro-batches: to the bit the same from any step, on any ranks and workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter

import numpy as np
import pytest
import torch

from damcli.embedding.batches import batches
from damcli.errors import InputError, UserError
from damcli.models.backbones import PREPROCESSING
from damcli.sources.framing import WholeImage
from damcli.sources.opening import open_source
from damcli.training.data import Augment, Micro, classes_of, stream
from damcli.training.order import Shuffled
from tests.images import png, record, write_recordio
from tests.pictures import Pictures

EVERYTHING = Augment(brightness=0.3, contrast=0.3, saturation=0.3, crop=0.4)
PLAIN = Augment(flip=0.0)


def streamed(source, *, augment: Augment = EVERYTHING, **how) -> list[Micro]:
    how = {"batch": 8, "seed": 3, "steps": 6, **how}
    return list(stream(source, classes_of(source), augment=augment, **how))


def assert_same(some: list[Micro], others: list[Micro]) -> None:
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert one.rejects == other.rejects


def test_images_and_labels_have_the_types_that_torch_wants():
    (micro,) = streamed(Pictures(), steps=1)
    assert micro.images.shape == (8, 3, 112, 112)
    assert micro.images.dtype == torch.float32
    assert micro.labels.shape == (8,)
    assert micro.labels.dtype == torch.int64
    assert micro.rejects == []


def test_training_sees_what_embed_sees():
    source = Pictures()
    rows = np.array([next(Shuffled(20, 3).candidates(position)) for position in range(8)])
    with batches(source, WholeImage((112, 112)), PREPROCESSING, [rows], workers=1) as made:
        (wanted,) = made
    (micro,) = streamed(source, augment=PLAIN, steps=1)
    np.testing.assert_array_equal(micro.images.numpy(), wanted.pixels)
    assert [f"{label}" for label in micro.labels] == [one.subject for one in wanted.ready]


def test_pixels_are_from_minus_one_to_one():
    source = Pictures()
    source.images[::2], source.images[1::2] = 0, 255
    (micro,) = streamed(source, augment=PLAIN, steps=1)
    assert {round(value, 6) for value in micro.images.flatten().tolist()} == {-1.0, 1.0}


@pytest.mark.parametrize("per_class", [None, 2])
@pytest.mark.parametrize("start", [1, 4])
def test_a_stream_from_a_later_step_is_the_tail_of_the_whole(start, per_class):
    source, how = Pictures(broken=[3, 11]), {"accumulate": 2, "per_class": per_class}
    assert_same(streamed(source, start_step=start, **how), streamed(source, **how)[2 * start :])


@pytest.mark.parametrize("per_class", [None, 2])
def test_two_ranks_see_what_one_rank_accumulates(per_class):
    source = Pictures(broken=[3])
    alone = streamed(source, accumulate=2, per_class=per_class)
    for rank in (0, 1):
        one = streamed(source, rank=rank, ranks=2, per_class=per_class)
        assert_same(one, alone[rank::2])
    four = streamed(source, batch=16, steps=3, accumulate=4)
    two = [streamed(source, batch=16, steps=3, accumulate=2, rank=r, ranks=2) for r in (0, 1)]
    assert_same(four, [micro for pair in zip(*two, strict=True) for micro in pair])


def test_accumulating_parts_a_batch_and_changes_nothing_else():
    source = Pictures()
    whole, parts = streamed(source), streamed(source, accumulate=4)
    for step, micro in enumerate(whole):
        images = torch.cat([part.images for part in parts[4 * step : 4 * step + 4]])
        assert torch.equal(micro.images, images)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_bit(workers):
    source = Pictures(broken=[3, 4])
    assert_same(streamed(source, workers=workers), streamed(source))


def test_the_random_numbers_of_the_run_are_left_alone():
    before = torch.random.get_rng_state()
    streamed(Pictures(), steps=1), streamed(Pictures(), steps=1, workers=1)
    assert torch.equal(before, torch.random.get_rng_state())


def test_every_epoch_shows_every_image_once_and_batches_reach_over_its_end():
    source = Pictures(20)
    assert sum(len(micro.labels) for micro in streamed(source, steps=5)) == 40
    first, second = source.read_names[:20], source.read_names[20:]
    assert set(first) == set(second) == set(source.names)
    assert first != second


def test_a_batch_may_be_larger_than_the_source():
    source = Pictures(6)
    streamed(source, batch=18, steps=1)
    assert Counter(source.read_names) == dict.fromkeys(source.names, 3)


def test_an_image_is_varied_anew_in_every_epoch():
    source = Pictures(8)
    one, other = (micro.images.sum().item() for micro in streamed(source, steps=2))
    assert one != other
    plain = [micro.images.sum().item() for micro in streamed(source, augment=PLAIN, steps=2)]
    assert plain[0] == pytest.approx(plain[1])


def test_a_broken_image_is_replaced_by_the_next_and_named_once_an_epoch():
    in_a_row = list(Shuffled(20, 3).candidates(0))[4:7]
    broken = Pictures(20, broken=in_a_row)
    whole = streamed(Pictures(20), augment=PLAIN, batch=20, steps=2)
    found = streamed(broken, augment=PLAIN, batch=20, steps=2)
    for epoch, micro in enumerate(found):
        order = list(Shuffled(20, 3).candidates(20 * epoch))
        gone = [broken.place_of(row) for row in order if row in in_a_row]
        assert micro.rejects == [(place, "is broken") for place in gone]
        for at in range(20):
            stand_in = next(k % 20 for k in range(at, at + 20) if order[k % 20] not in in_a_row)
            assert torch.equal(micro.images[at], whole[epoch].images[stand_in])
            assert micro.labels[at] == whole[epoch].labels[stand_in]


def test_a_source_that_is_broken_all_over_ends_with_a_message():
    with pytest.raises(InputError) as caught:
        streamed(Pictures(20, broken=range(20)))
    assert str(caught.value).startswith("pictures: 20 images one after another cannot be read")
    assert "é" in str(caught.value)
    assert "is broken" in str(caught.value)


@pytest.mark.parametrize("how", [{}, {"workers": 1}, {"per_class": 2}])
def test_a_large_source_that_is_gone_is_not_read_to_its_end(how):
    source = Pictures(5000, broken=range(5000))
    with pytest.raises(InputError, match="100 images one after another cannot be read"):
        streamed(source, batch=4, **how)
    assert len(source.read_names) <= 4 * 100


def test_a_record_that_is_broken_before_its_label_is_replaced_as_well(tmp_path):
    made = {key: record(key % 2, png(key)) for key in range(1, 9)}
    path = write_recordio(tmp_path / "train.rec", made)
    offset = int((tmp_path / "train.idx").read_text().splitlines()[4].split()[1])
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0\0\0\0")
    (micro,) = streamed(open_source(str(path)), steps=1)
    (reject,) = micro.rejects
    assert reject.place == f"{path}, record 5 (offset {offset})"
    assert reject.reason.startswith(f"no part of a record at offset {offset}")
    assert set(micro.labels.tolist()) == {0, 1}


def test_batches_of_groups():
    for micro in streamed(Pictures(20), batch=12, accumulate=2, per_class=3):
        labels = micro.labels.reshape(2, 3)
        assert (labels == labels[:, :1]).all()
        assert labels[0, 0] != labels[1, 0]


@pytest.mark.parametrize(
    ("how", "found", "multiple"),
    [
        ({"accumulate": 3}, "a batch of 8 cannot be parted among 1 ranks × 3 micro-batches", 3),
        ({"ranks": 16}, "a batch of 8 cannot be parted among 16 ranks × 1 micro-batches", 16),
        (
            {"ranks": 2, "accumulate": 2, "per_class": 4},
            "among 2 ranks × 2 micro-batches, each with 4 images of every class in it",
            16,
        ),
    ],
)
def test_batches_that_cannot_be_parted(how, found, multiple):
    with pytest.raises(UserError, match=found) as caught:
        streamed(Pictures(), **how)
    assert caught.value.hint == f"make it a multiple of {multiple}"


def test_ctrl_c_is_left_to_the_process_that_trains():
    source = Pictures()
    micros = stream(
        source, classes_of(source), batch=8, seed=3, augment=EVERYTHING, steps=12, workers=1
    )
    got = [next(micros)]
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    assert_same(got + list(micros), streamed(source, steps=12))


def test_workers_end_with_the_stream():
    micros = stream(
        Pictures(), classes_of(Pictures()), batch=8, augment=PLAIN, steps=10**9, workers=1
    )
    next(micros)
    micros.close()
    assert multiprocessing.active_children() == []
