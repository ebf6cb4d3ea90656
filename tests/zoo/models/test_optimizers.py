"""Compares the zoo's Adam and AdamW with those of Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.models import optimizers

STEPS = 8


def trained(optimizer, *, compiled, sparse=False):
    """Returns weights and moments after some steps with fixed gradients."""
    rng = np.random.default_rng(0)
    variables = [
        keras.Variable(rng.normal(size=shape), dtype="float64")
        for shape in [(7, 3), (5,)]
    ]
    optimizer.build(variables)

    def step(*gradients):
        if sparse:
            table, other = gradients
            rows = tf.constant([0, 2])
            gradients = (tf.IndexedSlices(tf.gather(table, rows), rows, (7, 3)), other)
        optimizer.apply(gradients, variables)

    if compiled:
        step = tf.function(step)
    for _ in range(STEPS):
        step(*(tf.constant(rng.normal(size=v.shape)) for v in variables))
    return [v.numpy() for v in (*variables, *optimizer.variables)]


OURS = {"adam": optimizers.Adam, "adamw": optimizers.AdamW}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("options", "run"),
    [
        ({}, {"compiled": True}),
        ({}, {"compiled": False}),
        ({"epsilon": 1e-3}, {"compiled": False}),
        ({"amsgrad": True}, {"compiled": False}),
        ({}, {"compiled": True, "sparse": True}),
    ],
)
def test_updates_are_those_of_keras(name, options, run):
    rate = keras.optimizers.schedules.CosineDecay(0.1, STEPS)
    options = {"learning_rate": rate, "weight_decay": 0.1, **options}
    theirs = keras.optimizers.get({"class_name": name, "config": options})
    ours = OURS[name](**options)
    for a, b in zip(*(trained(each, **run) for each in (ours, theirs)), strict=True):
        # Keras rounds the powers of beta to float32.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.0), ("adamw", 0.125)])
def test_float64_is_computed_in_float64(name, decay):
    weights, rate, (b1, b2, epsilon) = np.ones(3), 0.01, (0.9, 0.999, 1e-7)
    options = {"learning_rate": rate, "epsilon": epsilon}
    variable = keras.Variable(weights, dtype="float64")
    optimizer = OURS[name](**options, weight_decay=decay or None)
    optimizer.build([variable])
    first = second = np.zeros(3)
    rng = np.random.default_rng(0)
    for step in range(1, 6):
        gradient = rng.normal(size=3)
        optimizer.apply([tf.constant(gradient)], [variable])
        weights = weights - weights * decay * np.float32(rate)
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        corrected = np.float32(rate) * np.sqrt(1 - b2**step) / (1 - b1**step)
        weights = weights - corrected * first / (np.sqrt(second) + epsilon)
    np.testing.assert_allclose(variable.numpy(), weights, rtol=1e-12)
