"""Tests that every model trains with every precision, and with XLA."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

import export
import zoo
from zoo import registry
from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.training import trainer
from zoo.training.config import PRECISIONS

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
NORMALIZED = ("allconv", "efficientnet_lite", "mobilenet_v2", "resnet")
NORMALIZED_ROUNDING = 2e-2
# The networks for phones have some 50 normalizations. mobilenet_v2 ends 4% apart, and
# 2e-12 in float64, so that nothing but rounding differs.
DEEP = ("efficientnet_lite", "mobilenet_v2")
DEEP_ROUNDING = 1e-1
#: A narrower network takes less time.
RECIPES = {"mobilenet_v2": "small"}


@pytest.fixture(scope="module")
def train(digits):
    """Trains a few steps; returns the loss and the flat weights before and after."""
    small = digits.train.x[:320, 2:26:2, 2:26:2]

    @functools.cache
    def run(name, precision, jit_compile=False):
        side = max(12, registry.get_architecture(name).min_side)
        x = small
        if side > 12:
            x = np.uint8(tf.image.resize(small, (side, side)))
        data = Split(x, digits.train.y[:320])
        recipe = zoo.get_recipe(name, RECIPES.get(name, "default")).from_scratch()
        layers = dict(recipe.model)
        layers.pop("dropout", None)  # dropout draws other numbers in 16 bits
        steps = 2 if name in NORMALIZED else 10
        recipe = recipe.override(
            batch_size=32, steps_per_epoch=steps, epochs=1, model=layers
        )
        keras.utils.set_random_seed(3)
        with trainer.dtype_policy(precision):
            model = zoo.create_model(
                name,
                input_shape=x.shape[1:],
                num_classes=10,
                recipe=recipe,
                steps=10,
                jit_compile=jit_compile,
            )
        before = flat(model)
        plan = pipeline.make_plan(recipe, 320)
        batches = pipeline.TrainingBatches(data, plan, recipe, seed=0)
        history = model.fit(batches.dataset, verbose=0, shuffle=False).history
        assert int(model.optimizer.iterations) == steps
        assert model.dtype_policy.name == precision
        assert model(data.x[:2]).dtype == tf.float32
        return history["loss"][-1], before, flat(model)

    return run


def flat(model):
    weights = [weight.numpy() for weight in model.trainable_weights]
    assert all(weight.dtype == np.float32 for weight in weights)
    return np.concatenate([weight.ravel() for weight in weights])


IN_SHORT = [("mlp", "mixed_float16", False), ("linear", "mixed_bfloat16", True)]


@pytest.mark.parametrize(
    ("name", "precision", "jit_compile"),
    [
        pytest.param(*each, marks=() if each in IN_SHORT else pytest.mark.slow)
        for each in itertools.product(zoo.list_models(), PRECISIONS, (False, True))
        if each[1:] != ("float32", False)  # which is the reference
    ],
)
def test_every_combination_trains_as_float32_does(name, precision, jit_compile, train):
    expected_loss, before, expected = train(name, "float32")
    loss, _, after = train(name, precision, jit_compile)
    assert loss == pytest.approx(expected_loss, rel=0.02)
    if name in DEEP and precision != "float32":
        return  # so many normalizations of random features amplify 16 bits to noise
    rounding = NORMALIZED_ROUNDING if name in NORMALIZED else ROUNDING
    rounding = DEEP_ROUNDING if name in DEEP else rounding
    bound = rounding if precision == "float32" else BOUND
    assert np.linalg.norm(after - expected) < bound * np.linalg.norm(expected - before)


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_fine_tuning_in_16_bits_learns_as_in_float32(precision):
    photographs = load_sample_images().images
    corners = [(row, column) for row in (0, 150, 300) for column in (0, 200, 400)]
    x = np.stack(
        [
            photograph[row : row + 96, column : column + 96]
            for photograph in photographs
            for row, column in corners
        ]
    )
    y = np.repeat([0, 1], len(corners))

    def gradient(policy):
        keras.utils.set_random_seed(0)
        with trainer.dtype_policy(policy):
            model = zoo.create_model(
                "efficientnet_lite",
                weights="imagenet",
                input_shape=x.shape[1:],
                num_classes=2,
            )
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        parts = tape.gradient(loss, model.trainable_weights)
        return np.concatenate([np.float32(part).ravel() for part in parts])

    expected, found = gradient("float32"), gradient(precision)
    lengths = np.linalg.norm(expected) * np.linalg.norm(found)
    assert found @ expected > 0.9 * lengths  # bfloat16: 0.96 on other photographs


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_what_a_run_leaves_is_float32(precision, config, digits):
    # The whole recipe, because int8 loses too much after a short training.
    asked = dataclasses.replace(config(precision=precision), overrides={})
    trained = trainer.train(asked)
    assert trained.result["precision"] == precision
    model = zoo.load_run(trained.run.path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    _, accuracy = model.evaluate(digits.test.x, digits.test.y, verbose=0)
    assert accuracy == pytest.approx(trained.result["test"]["accuracy"])
    # Raises an error if a file misses its bounds.
    export.export_run(trained, export.DEFAULT_FORMATS)
    saved = tf.saved_model.load(trained.run.export / "saved_model" / "1")
    answer = saved.signatures["serving_default"](image=tf.constant(digits.test.x[:9]))
    logits = model(digits.test.x[:9]).numpy()
    np.testing.assert_allclose(answer["logits"].numpy(), logits, atol=1e-4)
