"""Precision, XLA and steps per execution: every combination trains every model."""

from __future__ import annotations

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import export
import zoo
from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.training import trainer
from zoo.training.config import PRECISIONS, Config

STEPS, BATCH = 10, 32
RECIPES = [(m, r) for m in zoo.list_models() for r in zoo.list_recipes(m)]


@pytest.fixture(scope="module")
def train(digits):
    """Trains ten steps; returns the loss and the weights."""

    @functools.cache
    def run(name, recipe, precision, jit_compile, steps_per_execution):
        settings = zoo.get_recipe(name, recipe)
        if settings.task == "regression":
            x = np.random.default_rng(0).normal(size=(320, 1)).astype("float32")
            split, shape, classes = Split(x, 3 * x + 2), (1,), None
        else:
            x, y = digits.train.x[:320, 2:26:2, 2:26:2], digits.train.y[:320]
            split, shape, classes = Split(x, y), (12, 12, 1), 10
        settings = settings.override(batch_size=BATCH, steps_per_epoch=STEPS, epochs=1)
        plan = pipeline.make_plan(settings, 320)
        keras.utils.set_random_seed(3)
        with trainer.dtype_policy(precision):
            model = zoo.create_model(
                name,
                input_shape=shape,
                num_classes=classes,
                recipe=settings,
                steps=plan.steps,
                jit_compile=jit_compile,
                steps_per_execution=steps_per_execution,
            )
        batches = pipeline.TrainingBatches(split, plan, settings, seed=0)
        history = model.fit(batches.dataset, verbose=0, shuffle=False).history
        assert int(model.optimizer.iterations) == STEPS
        return history["loss"][-1], model.get_weights()

    return run


def distance(weights, reference):
    """The norm of the difference, as a share of the norm of the reference."""
    moved = sum(np.square(a - b).sum() for a, b in zip(weights, reference, strict=True))
    return np.sqrt(moved / sum(np.square(b).sum() for b in reference))


COMBINATIONS = [
    *itertools.product(zoo.list_models(), PRECISIONS, (False, True), (1, 4))
]
# Beside allconv. Measured: convnet 1.4 to 1.9%, mlp 10%, allconv 4 to 17%. Their high
# rates make AdamW's first steps large, whatever the size of a gradient.
BEYOND = [("convnet", "default"), ("convnet", "best"), ("mlp", "best")]
IN_SHORT = [("mlp", "mixed_float16", False, 4), ("linear", "mixed_bfloat16", True, 1)]


def check_near(weights, reference, name, recipe):
    """Within 1% after 10 steps; those that are not are shown as expected failures."""
    found = distance(weights, reference)
    if found >= 0.01 and (name == "allconv" or (name, recipe) in BEYOND):
        pytest.xfail(f"{found:.1%} after 10 steps: AdamW makes rounding grow")
    assert found < 0.01


@pytest.mark.parametrize(
    ("name", "precision", "jit_compile", "steps_per_execution"),
    [
        pytest.param(*each, marks=() if each in IN_SHORT else pytest.mark.slow)
        for each in COMBINATIONS
    ],
)
def test_every_combination_trains_as_float32_does(
    name, precision, jit_compile, steps_per_execution, train
):
    loss, reference = train(name, "default", "float32", False, 1)
    other_loss, weights = train(
        name, "default", precision, jit_compile, steps_per_execution
    )
    assert other_loss == pytest.approx(loss, rel=0.02)
    assert all(weight.dtype == np.float32 for weight in weights)
    check_near(weights, reference, name, "default")


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_mixed_precision_suits_every_recipe(name, recipe, precision, train):
    _, reference = train(name, recipe, "float32", False, 1)
    _, weights = train(name, recipe, precision, False, 1)
    check_near(weights, reference, name, recipe)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_what_a_run_leaves_is_float32(precision, tmp_path, data_dir, digits):
    outcome = trainer.train(
        Config(
            model="mlp",
            dataset="digits",
            data_dir=str(data_dir),
            run_dir=str(tmp_path / "run"),
            precision=precision,
        )
    )
    assert outcome.result["precision"] == precision
    model = zoo.load_run(outcome.run.path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert int(model.optimizer.iterations) == outcome.result["steps"]
    tested = model.evaluate(digits.test.x, digits.test.y, verbose=0, return_dict=True)
    assert tested["accuracy"] == pytest.approx(outcome.result["test"]["accuracy"])
    assert tested["accuracy"] > 0.8
    # Raises where a file does not reach the bounds of its proof.
    export.export_run(outcome)
    path = outcome.run.path / "export" / "tflite" / "model_float32.tflite"
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    tensors = {detail["dtype"] for detail in interpreter.get_tensor_details()}
    assert np.float32 in tensors
    assert np.float16 not in tensors
    saved = tf.saved_model.load(outcome.run.path / "export" / "saved_model" / "1")
    answer = saved.signatures["serving_default"](image=tf.constant(digits.test.x[:9]))
    assert answer["logits"].dtype == tf.float32
    logits = model(digits.test.x[:9]).numpy()
    np.testing.assert_allclose(answer["logits"].numpy(), logits, atol=1e-4)
