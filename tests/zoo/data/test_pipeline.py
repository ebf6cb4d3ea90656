"""The batch of step s is a pure function of (seed, s)."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.errors import UserError
from zoo.recipe import Recipe

SIZE = 50
SPLIT = Split(
    x=np.arange(SIZE * 4, dtype="uint8").reshape(SIZE, 2, 2, 1),
    y=np.arange(SIZE, dtype="int32"),
)


def recipe(**fields):
    return Recipe(**{"batch_size": 8, "epochs": 3, **fields})


def labels(start=0, seed=0, **fields):
    """The labels of the epoch that begins at a step, batch by batch."""
    settings = recipe(**fields)
    plan = pipeline.make_plan(settings, SIZE)
    batches = pipeline.TrainingBatches(SPLIT, plan, settings, seed=seed)
    batches.start_at(start)
    return [list(y) for _, y in batches.dataset.as_numpy_iterator()]


def flat(batches):
    return [label for batch in batches for label in batch]


def test_a_pass_is_a_permutation():
    assert sorted(flat(labels(remainder="keep"))) == list(range(SIZE))
    assert flat(labels(remainder="keep")) != list(range(SIZE))


def test_the_remainder_is_kept_or_dropped():
    assert [len(batch) for batch in labels(remainder="keep")] == [8] * 6 + [2]
    assert [len(batch) for batch in labels(remainder="drop")] == [8] * 6
    assert len(set(flat(labels(remainder="drop")))) == 48


def test_file_order_is_the_order_of_the_file_in_every_pass():
    order = {"order": "file", "remainder": "keep"}
    assert flat(labels(**order)) == list(range(SIZE))
    assert flat(labels(start=7, **order)) == list(range(SIZE))


def test_passes_and_seeds_differ_and_repeat():
    assert labels(seed=1) == labels(seed=1)
    assert labels(seed=1) != labels(seed=2)
    assert labels(start=0) != labels(start=6)
    assert labels(start=6) == labels(start=6)


def test_the_largest_seed_is_taken():
    assert labels(seed=2**31 - 1) != labels(seed=2**31 - 2)


def test_a_batch_does_not_depend_on_where_the_pipeline_started():
    whole = labels(steps_per_epoch=20)
    assert labels(start=13, steps_per_epoch=20)[:7] == whole[13:]


def test_images_and_labels_stay_together():
    settings = recipe()
    plan = pipeline.make_plan(settings, SIZE)
    batches = pipeline.TrainingBatches(SPLIT, plan, settings, seed=0)
    for x, y in batches.dataset.as_numpy_iterator():
        np.testing.assert_array_equal(x, SPLIT.x[y])
        assert x.dtype == np.uint8


def test_augmentation_follows_the_step():
    def images(start):
        settings = recipe(augment={"shift": 0.5}, steps_per_epoch=4)
        plan = pipeline.make_plan(settings, SIZE)
        batches = pipeline.TrainingBatches(SPLIT, plan, settings, seed=0)
        batches.start_at(start)
        return [x for x, _ in batches.dataset.as_numpy_iterator()]

    np.testing.assert_array_equal(images(0)[2], images(2)[0])
    plain = SPLIT.x[labels(steps_per_epoch=4)[2]]
    assert not np.array_equal(images(0)[2], plain)


def test_evaluation_counts_every_example_exactly_once():
    batches = pipeline.evaluation_batches(SPLIT, batch_size=8).as_numpy_iterator()
    batches = list(batches)
    assert flat([list(y) for _, y in batches]) == list(range(SIZE))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), SPLIT.x)


@pytest.mark.parametrize(
    ("fields", "examples", "steps_per_epoch", "steps"),
    [
        ({"batch_size": 128, "epochs": 10}, 60_000, 468, 4680),
        ({"batch_size": 128, "epochs": 10, "remainder": "keep"}, 60_000, 469, 4690),
        ({"batch_size": None, "epochs": 10, "steps_per_epoch": 20}, 1000, 20, 200),
        ({"batch_size": 128, "epochs": 6, "min_steps": 300}, 1437, 50, 300),
        ({"batch_size": 128, "epochs": 6, "min_steps": 300}, 60_000, 468, 2808),
    ],
)
def test_the_length_of_a_training(fields, examples, steps_per_epoch, steps):
    plan = pipeline.make_plan(Recipe(**fields), examples)
    assert (plan.steps_per_epoch, plan.steps) == (steps_per_epoch, steps)


def test_examples_are_counted_with_partial_batches():
    plan = pipeline.make_plan(recipe(remainder="keep"), SIZE)
    done = [plan.examples_until(step) for step in (0, 1, 6, 7, 8, 21)]
    assert done == [0, 8, 48, 50, 58, 150]
    plan = pipeline.make_plan(recipe(remainder="drop"), SIZE)
    assert plan.examples_until(12) == 96


def test_a_batch_larger_than_the_split_is_refused():
    with pytest.raises(UserError, match="batch of 51, 50 examples. Pass --batch_size="):
        pipeline.make_plan(recipe(batch_size=51), SIZE)


def served(shard, **fields):
    settings = recipe(steps_per_epoch=9, augment={"rotate": 20.0}, **fields)
    plan = pipeline.make_plan(settings, SIZE)
    batches = pipeline.TrainingBatches(SPLIT, plan, settings, seed=0, shard=shard)
    batches.start_at(5)
    return list(batches.take(8).as_numpy_iterator())


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("fields", [{}, {"batch_size": 12, "remainder": "keep"}])
def test_replicas_serve_the_rows_of_the_same_batches(replicas, fields):
    whole = served(pipeline.Shard(), **fields)
    assert len({len(y) for _, y in whole}) == 1 + bool(fields)
    parts = [
        served(pipeline.Shard(first, replicas, of=2), **fields)
        for first in range(0, 2, replicas)
    ]
    # A worker's elements are those of its replicas, one after the other.
    rows = [
        [element for part in parts for element in part[s * replicas :][:replicas]]
        for s in range(8)
    ]
    for (x, y), of_step in zip(whole, rows, strict=True):
        np.testing.assert_array_equal(np.concatenate([e[0] for e in of_step]), x)
        np.testing.assert_array_equal(np.concatenate([e[1] for e in of_step]), y)


@pytest.mark.parametrize(
    ("fields", "replicas", "message"),
    [
        ({}, 3, "Received: a batch of 8. Pass --batch_size=3 or 6 or 9 or 12, or"),
        (
            {"remainder": "keep"},
            4,
            "a batch of 8, and of 2 at the end of each pass. No --batch_size fits 50",
        ),
        (
            {"remainder": "keep", "batch_size": 11},
            2,
            "of 11, and of 6 at .* Pass --batch_size=8 or 10 or 12 or 14",
        ),
    ],
)
def test_uneven_parts_are_refused_with_the_sizes_that_fit(fields, replicas, message):
    plan = pipeline.make_plan(recipe(**fields), SIZE)
    with pytest.raises(UserError, match=message):
        pipeline.Shard(0, 1, replicas).check(plan)
