"""Tests that every model trains with every precision, XLA and steps per execution."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

import export
import zoo
from tests.zoo.models.test_models import examples, size_for
from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.training import trainer
from zoo.training.config import PRECISIONS, Config

STEPS, BATCH = 10, 32
# The distance between the trained weights of a run in 16 bits and of one in float32,
# relative to how far the latter moved in ten steps. Measured: linear 0 to 1%, mlp 0 to
# 15%, convnet 3 to 11%, allconv 13 to 27%: AdamW takes large steps for small gradients
# too, and rounding decides their sign.
BOUND = 0.33
# The same with XLA in float32.
ROUNDING = 1e-3
# Rounding moves a few inputs of a ReLU across 0. Through the 19 normalizations of
# resnet, that changes the next gradients by about 1%, and later ones far more. With
# allconv, some processors end 0.4% apart after ten steps. Both take two steps, of which
# the second has a learning rate.
NORMALIZED = ("allconv", "resnet")
NORMALIZED_STEPS, NORMALIZED_ROUNDING = 2, 2e-2


class Training(NamedTuple):
    """The last loss, the weights before and after, and the dtype of the outputs."""

    loss: float
    before: list[np.ndarray]
    after: list[np.ndarray]
    output_dtype: str


@pytest.fixture(scope="module")
def train(digits):
    """Trains a few steps."""

    @functools.cache
    def run(name, recipe, precision, jit_compile=False, fused=1, rate=1.0):
        settings = zoo.get_recipe(name, recipe)
        steps = NORMALIZED_STEPS if name in NORMALIZED else STEPS
        fused = min(fused, steps)
        shape, classes = size_for(name, recipe)
        x, y = examples(shape, classes, size=320)
        if classes:
            x, y = digits.train.x[:320, 2:26:2, 2:26:2], digits.train.y[:320]
        layers = dict(settings.model)
        layers.pop("dropout", None)  # dropout draws other numbers in 16 bits
        settings = settings.override(
            batch_size=BATCH,
            steps_per_epoch=steps,
            epochs=1,
            model=layers,
            learning_rate=rate * settings.learning_rate,
        )
        keras.utils.set_random_seed(3)
        with trainer.dtype_policy(precision):
            model = zoo.create_model(
                name,
                input_shape=shape,
                num_classes=classes,
                recipe=settings,
                steps=STEPS,
                jit_compile=jit_compile,
                steps_per_execution=fused,
            )
        before = [weight.numpy() for weight in model.trainable_weights]
        plan = pipeline.make_plan(settings, 320)
        batches = pipeline.TrainingBatches(Split(x, y), plan, settings, seed=0)
        history = model.fit(batches.dataset, verbose=0, shuffle=False).history
        assert int(model.optimizer.iterations) == steps
        assert model.dtype_policy.name == precision
        dtype = model(x[:2]).dtype.name
        after = [weight.numpy() for weight in model.trainable_weights]
        assert all(weight.dtype == np.float32 for weight in model.get_weights())
        return Training(history["loss"][-1], before, after, dtype)

    return run


def apart(training, reference):
    """Returns the distance of two final weights, relative to the reference's path."""

    def distance(weights):
        pairs = zip(weights, reference.after, strict=True)
        return np.sqrt(sum(np.square(a - b).sum() for a, b in pairs))

    return distance(training.after) / distance(reference.before)


COMBINATIONS = itertools.product(zoo.list_models(), PRECISIONS, (False, True), (1, 4))
IN_SHORT = [
    ("mlp", "mixed_float16", False, 4),
    ("linear", "mixed_bfloat16", True, 1),
]


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
    reference = train(name, "default", "float32")
    training = train(name, "default", precision, jit_compile, steps_per_execution)
    assert training.loss == pytest.approx(reference.loss, rel=0.02)
    assert training.output_dtype == "float32"
    rounding = NORMALIZED_ROUNDING if name in NORMALIZED else ROUNDING
    bound = rounding if precision == "float32" else BOUND
    assert apart(training, reference) < bound


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_what_a_run_leaves_is_float32(precision, tmp_path, data_dir, digits):
    trained = trainer.train(
        Config(
            model="mlp",
            dataset="digits",
            data_dir=str(data_dir),
            run_dir=str(tmp_path / "run"),
            precision=precision,
        )
    )
    assert trained.result["precision"] == precision
    model = zoo.load_run(trained.run.path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert int(model.optimizer.iterations) == trained.result["steps"]
    _, accuracy = model.evaluate(digits.test.x, digits.test.y, verbose=0)
    assert accuracy == pytest.approx(trained.result["test"]["accuracy"])
    assert accuracy > 0.8
    # Raises an error if a file misses its bounds.
    export.export_run(trained, export.DEFAULT_FORMATS)
    saved = tf.saved_model.load(trained.run.export / "saved_model" / "1")
    answer = saved.signatures["serving_default"](image=tf.constant(digits.test.x[:9]))
    assert answer["logits"].dtype == tf.float32
    logits = model(digits.test.x[:9]).numpy()
    np.testing.assert_allclose(answer["logits"].numpy(), logits, atol=1e-4)
