"""What stands where in a run: every image as often as every other, whatever step one begins at."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import UserError
from damcli.training.classes import UNKNOWN, Classes
from damcli.training.order import Grouped, Shuffled, generator_at


def rows(order, positions) -> list[int]:
    return [next(order.candidates(position)) for position in positions]


def classes(sizes, *, unknown: int = 0, seed: int = 0) -> Classes:
    of_row = np.repeat(np.arange(-1, len(sizes)), [unknown, *sizes])
    np.random.default_rng(seed).shuffle(of_row)
    return Classes(tuple(map(str, range(len(sizes)))), np.array(sizes), of_row)


@given(st.integers(1, 40), st.integers(0, 2**40), st.integers(0, 2**40))
def test_every_epoch_holds_every_row_once(count, seed, epoch):
    order = Shuffled(count, seed)
    start = epoch * count
    assert sorted(rows(order, range(start, start + count))) == list(range(count))


def test_epochs_and_seeds_differ():
    drawn = [
        tuple(rows(Shuffled(50, seed), range(50 * epoch, 50 * epoch + 50)))
        for seed in range(3)
        for epoch in range(3)
    ]
    assert len(set(drawn)) == 9


def test_the_order_of_a_seed_stays_what_it_is_or_old_runs_could_not_go_on():
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(3, spawn_key=(0, 2))))
    assert rows(Shuffled(9, 3), range(18, 27)) == generator.permutation(9).tolist()


def test_every_row_comes_first_equally_often():
    counts = Counter(rows(Shuffled(4, 3), range(0, 4 * 4000, 4)))
    for count in counts.values():  # 4 standard deviations of a binomial of 4000 and 1/4
        assert abs(count - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5


@given(st.integers(1, 12), st.integers(0, 99))
def test_a_row_is_replaced_by_those_that_follow_in_its_epoch(count, position):
    order = Shuffled(count, 5)
    start = position - position % count
    epoch = rows(order, range(start, start + count))
    place = position % count
    assert list(order.candidates(position)) == epoch[place:] + epoch[:place]


def test_the_numbers_of_a_position_are_its_own():
    first = [generator_at(seed, position).random() for seed in (0, 1) for position in range(50)]
    assert len(set(first)) == 100
    assert generator_at(1, 2**70).random() == generator_at(1, 2**70).random()


GROUPED = st.tuples(
    # images of each class, of which one has two at least
    st.lists(st.integers(1, 9), min_size=2, max_size=9).filter(lambda sizes: max(sizes) > 1),
    st.integers(2, 4),  # images a class
    st.integers(0, 3),  # images of nobody
    st.integers(0, 99),  # seed
).flatmap(lambda made: st.tuples(st.just(made), st.integers(2, len(made[0]))))


@given(GROUPED, st.integers(0, 30))
@settings(deadline=None)
def test_a_batch_holds_distinct_classes_with_as_many_images_each(made, step):
    (sizes, per_class, unknown, seed), at_once = made
    known = classes(sizes, unknown=unknown)
    batch = at_once * per_class
    order = Grouped(known, batch=batch, per_class=per_class, seed=seed)
    groups = np.reshape(rows(order, range(step * batch, (step + 1) * batch)), (at_once, per_class))
    labels = known.of_row[groups]
    assert (labels == labels[:, :1]).all()
    assert (labels != UNKNOWN).all()
    assert len(set(labels[:, 0])) == at_once
    for label, group in zip(labels[:, 0], groups, strict=True):
        assert len(set(group)) == min(per_class, sizes[label])


def test_every_class_and_every_image_of_it_is_seen_equally_often():
    known = classes([2, 3, 6, 4])
    order = Grouped(known, batch=4, per_class=2, seed=1)
    seen = Counter(rows(order, range(8 * 6)))  # six epochs
    for row, label in enumerate(known.of_row):
        if label == 1:  # in each permutation of its three images one is left over
            assert seen[row] <= 6
        else:
            assert seen[row] == 12 / known.counts[label]
    assert Counter(known.of_row[list(seen.elements())]) == dict.fromkeys(range(4), 12)


def test_a_class_gives_other_images_until_too_few_are_left_then_mixes_them_anew():
    known = classes([7] * 4)
    order = Grouped(known, batch=6, per_class=3, seed=5)
    epochs = [rows(order, range(start, start + 12)) for start in range(0, 12 * 40, 12)]
    pairs = [one + other for one, other in zip(epochs[::2], epochs[1::2], strict=True)]
    for pair in pairs:
        assert len(set(pair)) == 24
    left_over = [set(range(28)) - set(pair) for pair in pairs]
    assert len(set.union(*left_over)) == 28


def test_classes_are_mixed_independently():
    known = classes([2] * 2)
    order = Grouped(known, batch=4, per_class=2, seed=5)
    ascending = Counter()
    for epoch in range(64):
        groups = np.reshape(rows(order, range(4 * epoch, 4 * epoch + 4)), (2, 2))
        groups = groups[np.argsort(known.of_row[groups[:, 0]])]
        ascending[tuple((groups[:, 0] < groups[:, 1]).tolist())] += 1
    assert len(ascending) == 4


def test_classes_that_do_not_fill_a_batch_wait_for_another_epoch():
    known = classes([2] * 5)
    order = Grouped(known, batch=8, per_class=2, seed=1)
    seen = Counter(known.of_row[rows(order, range(0, 8 * 500, 2))].tolist())
    for count in seen.values():  # 500 epochs, of which each shows four classes of five
        assert abs(count - 400) < 4 * (500 * 0.8 * 0.2) ** 0.5


def test_a_row_is_replaced_from_its_class_behind_the_group_then_from_another():
    known = classes([6, 6, 6], unknown=2)
    order = Grouped(known, batch=6, per_class=2, seed=3)
    group = rows(order, (2, 3))
    first, *others = islice(order.candidates(2), 13)
    label = known.of_row[first]
    own, further = others[:6], others[6:]
    assert set(known.of_row[own]) == {label}
    assert set(own) == set(np.flatnonzero(known.of_row == label))
    assert not set(own[:4]) & set(group)
    assert label not in known.of_row[further[:1]]
    assert set(known.of_row[list(order.candidates(2))]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("batch", "per_class", "found"),
    [
        (9, 2, "a batch of 9 with 2 images a class; expected two or more classes with two or more"),
        (8, 1, "a batch of 8 with 1 images a class"),
        (4, 4, "a batch of 4 with 4 images a class"),
        (8, 2, "a batch of 4 classes × 2 images, but there are 3 classes"),
    ],
)
def test_batches_that_no_triplet_fits(batch, per_class, found):
    with pytest.raises(UserError, match=found):
        Grouped(classes([3, 3, 3]), batch=batch, per_class=per_class, seed=0)
