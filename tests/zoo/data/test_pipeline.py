"""Tests that the batch of step s is a pure function of (seed, s)."""

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


def epoch(start=0, seed=0, replicas=(0, 1, 1), **fields):
    """Returns the batches of the epoch that begins at a step."""
    settings = recipe(**fields)
    plan = pipeline.make_plan(settings, SIZE)
    batches = pipeline.TrainingBatches(
        SPLIT, plan, settings, seed=seed, replicas=replicas
    )
    batches.start_at(start)
    return list(batches.dataset.as_numpy_iterator())


@pytest.mark.parametrize(
    ("fields", "examples", "batch", "rate"),
    [
        ({"batch_size": 128}, 128 * 40, 128, 1.0),
        ({"batch_size": 128}, 128 * 40 - 1, 64, 0.7071),
        ({"batch_size": 256}, 1321, 32, 0.3536),
        ({"batch_size": 256, "optimizer": "sgd"}, 1321, 32, 0.125),
        ({"batch_size": 128}, 80, 16, 0.3536),
        ({"batch_size": 128}, 10, 10, 0.2795),
        ({"batch_size": 96}, 100, 24, 0.5),
        ({"batch_size": 128, "learning_rate": 1 / 300}, 5120, 128, 1 / 300),
        # Unchanged: tutorials, recipes that count steps, and fields that the user set.
        ({"order": "file"}, 80, 128, 1.0),
        ({"remainder": "keep"}, 80, 128, 1.0),
        ({"steps_per_epoch": 1000}, 80, 128, 1.0),
        ({"batch_size": None}, 80, None, 1.0),
    ],
)
def test_a_batch_is_halved_for_few_examples(fields, examples, batch, rate):
    before = Recipe(**{"learning_rate": 1.0, "batch_size": 128, **fields})
    fitted = pipeline.fit_to(before, examples)
    assert (fitted.batch_size, fitted.learning_rate) == (batch, rate)
    assert pipeline.fit_to(before, examples, {"batch_size": 1}) == before
    kept = pipeline.fit_to(before, examples, ["learning_rate"])
    assert (kept.batch_size, kept.learning_rate) == (batch, before.learning_rate)


def test_class_weights_go_with_their_examples():
    split = Split(SPLIT.x, np.minimum(SPLIT.y // 20, 1))  # 20 of class 0, 30 of 1
    weights = split.balanced_weights(3)
    np.testing.assert_allclose(weights, [1.25, 5 / 6, 0])
    settings = recipe(remainder="keep")
    plan = pipeline.make_plan(settings, SIZE)
    batches = pipeline.TrainingBatches(
        split, plan, settings, seed=0, class_weights=weights
    )
    total = np.zeros(2)
    for _, y, sample_weight in batches.dataset.as_numpy_iterator():
        np.testing.assert_array_equal(sample_weight, weights[y])
        total += np.bincount(y, sample_weight, minlength=2)
    np.testing.assert_allclose(total, [25, 25])


def labels(**options):
    """Returns the labels of an epoch, batch by batch."""
    return [y.tolist() for _, y in epoch(**options)]


def flat(batches):
    return [label for batch in batches for label in batch]


def test_a_pass_is_a_permutation_whose_remainder_is_kept_or_dropped():
    kept, dropped = labels(remainder="keep"), labels(remainder="drop")
    assert [len(batch) for batch in kept] == [8] * 6 + [2]
    assert sorted(flat(kept)) == list(range(SIZE)) != flat(kept)
    assert [len(batch) for batch in dropped] == [8] * 6
    assert len(set(flat(dropped))) == 48


def test_file_order_is_the_order_of_the_file_in_every_pass():
    for start in (0, 7):
        found = labels(start=start, order="file", remainder="keep")
        assert flat(found) == list(range(SIZE))


def test_passes_and_seeds_differ_and_repeat():
    options = [{"seed": 0}, {"seed": 1}, {"seed": 2**31 - 1}, {"start": 6}]
    found = [labels(**each) for each in options]
    assert found == [labels(**each) for each in options]
    assert len({str(each) for each in found}) == 4


def test_a_batch_does_not_depend_on_where_the_pipeline_started():
    options = {"steps_per_epoch": 9, "augment": {"shift": 0.5}}
    whole, later = epoch(**options), epoch(start=7, **options)
    for (x, y), (x_later, y_later) in zip(whole[7:], later[:2], strict=True):
        np.testing.assert_array_equal(x, x_later)
        np.testing.assert_array_equal(y, y_later)
        assert not np.array_equal(x, SPLIT.x[y])


def test_evaluation_counts_every_example_exactly_once():
    batches = pipeline.evaluation_batches(SPLIT, batch_size=8).as_numpy_iterator()
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(y, SPLIT.y)
    np.testing.assert_array_equal(x, SPLIT.x)


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


@pytest.mark.parametrize("served", [1, 2])
@pytest.mark.parametrize("fields", [{}, {"batch_size": 12, "remainder": "keep"}])
def test_replicas_serve_the_rows_of_the_same_batches(served, fields):
    options = {"start": 5, "steps_per_epoch": 8, "augment": {"rotate": 20.0}} | fields
    whole = epoch(**options)
    assert len({len(y) for _, y in whole}) == 1 + bool(fields)
    parts = [
        epoch(replicas=(first, served, 2), **options) for first in range(0, 2, served)
    ]
    for step, (x, y) in enumerate(whole):
        # A worker's elements belong to its replicas in turn.
        rows = [part for each in parts for part in each[step * served :][:served]]
        np.testing.assert_array_equal(np.concatenate([row[0] for row in rows]), x)
        np.testing.assert_array_equal(np.concatenate([row[1] for row in rows]), y)


@pytest.mark.parametrize(
    ("fields", "replicas", "message"),
    [
        ({"batch_size": 51}, 1, "batch of 51, 50 examples. Pass --batch_size=50 or"),
        ({}, 3, "Received: batches of 8 examples. Choose another --batch_size"),
        ({"remainder": "keep"}, 4, "Received: batches of 2 and 8 examples."),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(fields, replicas, message):
    with pytest.raises(UserError, match=message):
        pipeline.make_plan(recipe(**fields), SIZE, replicas)
