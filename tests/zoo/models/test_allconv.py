"""Tests the size of AllConv and its batch normalization."""

from __future__ import annotations

import keras
import numpy as np

from tests.zoo.models.test_models import create, examples


def test_it_is_small_and_has_no_dense_layer():
    model = create("allconv")
    assert model.count_params() < 130_000
    layers = model._flatten_layers()
    assert not any(isinstance(layer, keras.layers.Dense) for layer in layers)


def test_the_moving_statistics_are_those_of_the_batches():
    model = create("allconv")
    x, y = examples((12, 12, 1), 10, size=40)
    conv, norm, _ = model.block1.layers
    mean, variance = np.zeros(24), np.ones(24)
    for batch in (slice(0, 16), slice(16, 32), slice(32, 40)):  # one is partial
        features = conv(x[batch] / 255).numpy()
        mean = 0.9 * mean + 0.1 * features.mean(axis=(0, 1, 2))
        variance = 0.9 * variance + 0.1 * features.var(axis=(0, 1, 2))
        model.train_on_batch(x[batch], y[batch])
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-3)
