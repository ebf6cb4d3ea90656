"""The loss surface on which a regression is drawn."""

from __future__ import annotations

import numpy as np

import zoo
from zoo.plots import regression


def test_the_loss_surface_is_the_loss(data_dir):
    dataset = zoo.load_dataset("linear_regression", data_dir=str(data_dir))
    weights, biases = np.array([[3.0, -1.0]]), np.array([[2.0, 0.5]])
    x, y = dataset.train.x[:, 0], dataset.train.y[:, 0]
    expected = [[np.mean((3 * x + 2 - y) ** 2), np.mean((-x + 0.5 - y) ** 2)]]
    got = regression.mean_squared_error(dataset, weights, biases)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
