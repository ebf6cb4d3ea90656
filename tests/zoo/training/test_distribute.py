"""Tests that several workers or devices train like one."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.conftest import of_model
from tests.zoo.data.written import write_idx
from tests.zoo.training import workers
from zoo import registry
from zoo.errors import RunError, UserError
from zoo.models import build
from zoo.training import distribute, trainer
from zoo.training.config import Config

# What these change about default are numbers; finetune needs weights.
NUMBERS = ("best", "fast", "finetune", "large", "lite1", "lite2", "small")
# In these models, batch normalization amplifies rounding errors, to 2e-4 of allconv's
# weights in 50 steps of float32. A test in float64 shows that only rounding differs.
# The networks for phones amplify them more, and take minutes for so many steps: one
# step in float64 shows the same.
DEEP = ("efficientnet_lite", "mobilenet_v2")
RECIPES = [
    (model, recipe)
    for model in zoo.list_models()
    for recipe in zoo.list_recipes(model)
    if recipe not in NUMBERS and model not in DEEP
]
UNSTEADY = ("allconv", "resnet", *DEEP)
# Arguments of narrower networks, which take less time.
NARROW = {"mobilenet_v2": {"width": 0.35}}
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
            **of_model(model),
            "overrides": {
                "model": settings.model | without | NARROW.get(model, {}),
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


def train_together(directory, cases):
    """Trains the cases with two workers, which must end without messages."""
    path = directory / "cases.json"
    path.write_text(json.dumps(cases))
    with workers.started(2, [workers.__file__, str(path)], directory) as processes:
        for index, (code, out, err) in enumerate(workers.ended(processes, 480)):
            assert (code, err) == (0, ""), err
            assert out == "" or index == 0


def check_run(directory, case, *, rounding=True):
    """Checks a run of two workers: they are equal, and equal to one within rounding."""
    result = json.loads((directory / "run" / "result.json").read_text())
    assert result["strategy"] == {"name": "multi_worker", "replicas": 2, "workers": 2}
    weights = []
    for index in range(2):
        with np.load(directory / f"run-{index}.npz") as file:
            weights.append([file[key] for key in sorted(file, key=int)])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    if rounding:
        fields = case | {"strategy": "one", "run_dir": str(directory / "alone")}
        check_equal(weights[0], result, trainer.train(Config(**fields)))


def check_equal(weights, result, alone):
    """Checks that weights and results equal those of one device within rounding."""
    ours = np.concatenate([each.ravel() for each in weights])
    theirs = np.concatenate([each.ravel() for each in alone.model.get_weights()])
    assert np.linalg.norm(ours - theirs) < 1e-4 * np.linalg.norm(theirs)
    for part in ("train", "test"):
        assert result[part] == pytest.approx(alone.result[part], rel=1e-5)


@pytest.fixture(scope="module")
def two_workers(case, tmp_path_factory):
    """Trains all recipes with two workers; returns the directory and case of each."""
    directory = tmp_path_factory.mktemp("two")
    cases = {}
    for model, recipe in RECIPES:
        place = directory / f"{model}-{recipe}"
        place.mkdir()
        fields = case(model, recipe, place / "run", strategy="multi_worker")
        cases[model, recipe] = (place, fields)
    train_together(directory, [fields for _, fields in cases.values()])
    return cases


@pytest.mark.slow
@pytest.mark.parametrize(("model", "recipe"), RECIPES)
def test_two_workers_train_what_one_does(model, recipe, two_workers):
    check_run(*two_workers[model, recipe], rounding=model not in UNSTEADY)


def test_two_workers_train_what_one_does_in_short(case, tmp_path):
    fields = case("linear", "default", tmp_path / "run", strategy="auto")
    train_together(tmp_path, [fields])
    check_run(tmp_path, fields)


def test_two_devices_train_what_one_does(case, tmp_path):
    one, two = (
        trainer.train(
            Config(**case("mlp", "default", tmp_path / strategy, strategy=strategy))
        )
        for strategy in ("one", "mirrored")
    )
    assert two.result["strategy"]["replicas"] == 2
    check_equal(two.model.get_weights(), two.result, one)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("resnet", *DEEP)))
        for name in zoo.list_models()
    ],
)
def test_nothing_but_rounding_differs(model):
    draw = np.random.default_rng(0)
    least = registry.get_architecture(model).min_side
    side, recipe = max(12, least), zoo.get_recipe(model).from_scratch()
    recipe = recipe.override(model=recipe.model | NARROW.get(model, {}))
    steps = 1 if model in DEEP else 20
    x = draw.integers(0, 256, (32 * steps, side, side, 1)).astype(np.uint8)
    y = draw.integers(0, 10, len(x))
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    placements = [distribute.place(name) for name in ("one", "mirrored")]

    def train(placement):
        keras.utils.set_random_seed(3)
        with placement.scope():
            made = zoo.create_model(
                model, input_shape=x.shape[1:], num_classes=10, recipe=recipe
            )
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
            "The 2 replicas would get unequal parts of a batch.*batches of 41 examples",
        ),
        (
            {"strategy": "mirrored", "jit_compile": "true"},
            "--strategy=mirrored with 2 replicas",
        ),
        ({"strategy": "tpu"}, "There is no TPU"),
    ],
)
def test_what_devices_cannot_do_is_refused(fields, message, config, tmp_path):
    with pytest.raises(UserError, match=message):
        trainer.train(config(**fields))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_two_devices(config):
    overrides = {"optimizer": "sgd", "learning_rate": 1e30}
    asked = config(strategy="mirrored", overrides=overrides)
    with pytest.raises(RunError, match="Not finite after step 5 of 66: loss"):
        trainer.train(asked)


def test_gradients_that_only_the_loss_scale_overflows_are_skipped(config, monkeypatch):
    monkeypatch.setattr(build, "_INITIAL_SCALE", 2.0**30)
    fields = {"precision": "mixed_float16", "gradient_norm": True}
    outcome = trainer.train(config(strategy="mirrored", **fields))
    made = outcome.model.optimizer.iterations
    assert 30 < int(made) < 66  # the first ones halve the scale
    assert outcome.result["test"]["accuracy"] > 0.3
    # The norm is the mean over the steps that were not skipped.
    first, *_ = csv.DictReader(outcome.run.metrics.open())
    assert 0 < float(first["gradient_norm"]) < 100


def test_what_overflows_on_one_device_is_skipped_on_all():
    placement = distribute.place("mirrored")
    with placement.scope(), trainer.dtype_policy("mixed_float16"):
        model = zoo.create_model("mlp", input_shape=(12, 12, 1), num_classes=10)
    distribute.repair(model)
    before = model.get_weights()
    x, y = np.full((8, 12, 12, 1), 255.0), np.arange(8)
    weights = np.repeat([1.0, 1e6], 4)  # the second device gets the last four examples
    data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(4)
    model.fit(placement.distribute(data), verbose=0, shuffle=False)
    assert model.optimizer.iterations.value.numpy() == 0
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
