"""The loss surface on which a regression is drawn."""

from __future__ import annotations

import numpy as np

from zoo.data.dataset import Split
from zoo.plots import regression


def test_the_loss_surface_is_the_loss():
    x, y = np.random.default_rng(0).normal(size=(2, 50, 1)).astype(np.float32)
    weights, biases = np.array([[3.0, -1.0]]), np.array([[2.0, 0.5]])
    expected = [[np.mean((3 * x + 2 - y) ** 2), np.mean((-x + 0.5 - y) ** 2)]]
    got = regression.mean_squared_error(Split(x, y), weights, biases)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
