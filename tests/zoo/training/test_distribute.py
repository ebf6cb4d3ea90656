"""Tests that several workers or devices train like one."""

from __future__ import annotations

import csv
import json
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo.data.written import write_idx
from tests.zoo.training import workers
from zoo.errors import RunError, UserError
from zoo.models import build
from zoo.training import distribute, trainer
from zoo.training.config import Config

# What best and fast change about default are numbers.
RECIPES = [
    (model, recipe)
    for model in zoo.list_models()
    for recipe in zoo.list_recipes(model)
    if recipe != "finetune"  # it needs weights to start from
    if recipe not in ("best", "fast")
]
# In these models, batch normalization amplifies rounding errors, to 2e-4 of allconv's
# weights in 50 steps of float32. A test in float64 shows that only rounding differs.
UNSTEADY = ("allconv", "resnet")
# 480 examples give batches of 42, and one of 18 at the end of a pass if it is kept.
NUM_TRAIN, BATCH, STEPS = 480, 42, 50


@pytest.fixture(scope="module")
def images(tmp_path_factory, digits):
    """A directory of IDX files: digits of 12x12 pixels."""
    content = {}
    for split, name, size in (("train", "train", NUM_TRAIN), ("test", "t10k", 61)):
        data = getattr(digits, split)
        content[f"{name}-images-idx3-ubyte"] = data.x[:size, 2:26:2, 2:26:2, 0]
        content[f"{name}-labels-idx1-ubyte"] = data.y[:size]
    return write_idx(tmp_path_factory.mktemp("images"), content)


@pytest.fixture(scope="module")
def case(images, data_dir):
    """Makes the fields of a Config that trains 50 steps."""

    def make(model, recipe, run_dir, **fields):
        settings = zoo.get_recipe(model, recipe)
        regression = settings.task == "regression"
        # Each device draws its own dropout.
        without = {key: 0.0 for key in ("dropout",) if key in settings.model}
        return {
            "model": model,
            "recipe": recipe,
            "overrides": {
                "model": settings.model | without,
                "epochs": 2,
                "min_steps": 0,
                "batch_size": BATCH,
                "steps_per_epoch": STEPS // 2,
                "steps_per_execution": 10,  # 10, 10 and 5
            },
            "dataset": "linear_regression" if regression else str(images),
            "data_dir": str(data_dir),
            "run_dir": str(run_dir),
            "progress": "none",
            **fields,
        }

    return make


class Run(NamedTuple):
    """The outcome of a training: the weights of each worker, and the result."""

    weights: list
    result: dict


def read_run(directory, name, count):
    weights = []
    for index in range(count):
        with np.load(directory / f"{name}-{index}.npz") as file:
            weights.append([file[key] for key in sorted(file, key=int)])
    return Run(weights, json.loads((directory / name / "result.json").read_text()))


def train_together(count, directory, cases):
    """Trains the cases with ``count`` workers, which must end without messages."""
    path = directory / "cases.json"
    path.write_text(json.dumps(list(cases.values())))
    with workers.started(count, [workers.__file__, str(path)], directory) as processes:
        for index, (code, out, err) in enumerate(workers.ended(processes, 480)):
            assert (code, err) == (0, ""), err
            assert out == "" or index == 0
    return {name: read_run(directory, name, count) for name in cases}


@pytest.fixture(scope="module")
def alone(case, tmp_path_factory):
    """Trains on one device, once per case for all tests."""
    directory = tmp_path_factory.mktemp("alone")
    done = {}

    def train(model, recipe):
        if (model, recipe) not in done:
            fields = case(model, recipe, directory / f"{model}-{recipe}")
            outcome = trainer.train(Config(**fields, strategy="one"))
            done[model, recipe] = Run([outcome.model.get_weights()], outcome.result)
        return done[model, recipe]

    return train


def check_equal(run, reference, *, rounding=True):
    """Checks equality: exact among workers, and within rounding for one device."""
    for others in run.weights[1:]:
        for a, b in zip(run.weights[0], others, strict=True):
            np.testing.assert_array_equal(a, b)
    if not rounding:
        return
    ours, theirs = (
        np.concatenate([weights.ravel() for weights in each.weights[0]])
        for each in (run, reference)
    )
    assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)
    for part in ("train", "test"):
        assert run.result[part] == pytest.approx(reference.result[part], rel=1e-5)


@pytest.fixture(scope="module")
def two_workers(case, tmp_path_factory):
    directory = tmp_path_factory.mktemp("two")
    cases = {
        f"{m}-{r}": case(m, r, directory / f"{m}-{r}", strategy="multi_worker")
        for m, r in RECIPES
    }
    return train_together(2, directory, cases)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "recipe"), RECIPES)
def test_two_workers_train_what_one_does(model, recipe, two_workers, alone):
    run = two_workers[f"{model}-{recipe}"]
    strategy = {"name": "multi_worker", "replicas": 2, "workers": 2}
    assert run.result["strategy"] == strategy
    assert run.result["steps"] == STEPS
    check_equal(run, alone(model, recipe), rounding=model not in UNSTEADY)


def test_two_workers_train_what_one_does_in_short(case, alone, tmp_path):
    fields = case("linear", "default", tmp_path / "run", strategy="auto")
    check_equal(
        train_together(2, tmp_path, {"run": fields})["run"], alone("linear", "default")
    )


def test_two_devices_train_what_one_does(case, alone, tmp_path):
    fields = case("mlp", "default", tmp_path / "run", strategy="mirrored")
    outcome = trainer.train(Config(**fields))
    assert outcome.result["strategy"]["replicas"] == 2
    run = Run([outcome.model.get_weights()], outcome.result)
    check_equal(run, alone("mlp", "default"))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name == "resnet"))
        for name in zoo.list_models()
    ],
)
def test_nothing_but_rounding_differs(model):
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (32 * 20, 12, 12, 1)).astype(np.uint8)
    y = draw.integers(0, 10, len(x))
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    placements = [distribute.place(name) for name in ("one", "mirrored")]

    def train(placement):
        keras.utils.set_random_seed(3)
        with placement.scope():
            made = zoo.create_model(model, input_shape=(12, 12, 1), num_classes=10)
        made.fit(batches, shuffle=False, verbose=0)
        return np.concatenate([weights.ravel() for weights in made.get_weights()])

    keras.config.set_floatx("float64")
    try:
        with trainer.dtype_policy("float64"):
            one, two = map(train, placements)
    finally:
        keras.config.set_floatx("float32")
    assert two.dtype == np.float64
    assert np.linalg.norm(two - one) < 1e-12 * np.linalg.norm(one)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"strategy": "mirrored", "overrides": {"batch_size": 41}},
            "a batch of 41. Pass --batch_size=38 or 40 or",
        ),
        (
            {"strategy": "mirrored", "jit_compile": "true"},
            "--strategy=mirrored with 2 replicas",
        ),
        ({"strategy": "tpu"}, "There is no TPU"),
    ],
)
def test_what_devices_cannot_do_is_refused(fields, message, case, tmp_path):
    asked = case("mlp", "default", tmp_path / "run") | fields
    with pytest.raises(UserError, match=message):
        trainer.train(Config(**asked))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_two_devices_where_it_stops_one(case, tmp_path):
    def message(strategy):
        fields = case("mlp", "default", tmp_path / strategy, strategy=strategy)
        fields["overrides"] |= {"optimizer": "sgd", "learning_rate": 1e30}
        with pytest.raises(RunError, match="Not finite after step 10 of 50: loss") as e:
            trainer.train(Config(**fields, precision="mixed_float16"))
        return str(e.value)

    assert message("mirrored") == message("one")


def test_gradients_that_only_the_loss_scale_overflows_are_skipped(
    case, tmp_path, monkeypatch
):
    monkeypatch.setattr(build, "_INITIAL_SCALE", 2.0**30)
    fields = case("mlp", "default", tmp_path / "run", strategy="mirrored")
    outcome = trainer.train(
        Config(**fields, precision="mixed_float16", gradient_norm=True)
    )
    made = outcome.model.optimizer.iterations
    assert 20 < int(made) < STEPS  # the first ones halve the scale
    assert outcome.result["test"]["accuracy"] > 0.3
    # The norm is the mean over the steps that were not skipped.
    first, _ = csv.DictReader(outcome.run.metrics.open())
    assert 0 < float(first["gradient_norm"]) < 100


@pytest.mark.parametrize("which", [0, 1])
def test_what_overflows_on_one_device_is_skipped_on_all(which):
    placement = distribute.place("mirrored")
    with placement.scope(), trainer.dtype_policy("mixed_float16"):
        model = zoo.create_model("mlp", input_shape=(12, 12, 1), num_classes=10)
    distribute.repair(model)
    before = model.get_weights()
    x, y = np.full((8, 12, 12, 1), 255.0), np.arange(8)
    weights = np.ones(8)
    weights[4 * which : 4 * which + 4] = 1e6  # of the examples of one device
    data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(4)
    model.fit(placement.distribute(data), verbose=0, shuffle=False)
    assert model.optimizer.iterations.value.numpy() == 0
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
