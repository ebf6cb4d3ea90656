"""Tests what LinearModel says about a regression."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.models.linear import LinearModel


def test_the_line_is_compared_with_the_true_one_and_the_best_one(data_dir):
    train = zoo.load_dataset("linear_regression", data_dir=str(data_dir)).train
    model = LinearModel(None)
    model.build((None, 1))
    model.set_weights([np.array([[2.5]]), np.array([-1.0])])
    assert model.epoch_values() == {"weight": 2.5, "bias": -1.0}
    found = model.extra_results(train)
    assert found["learned"] == {"weight": 2.5, "bias": -1.0}
    columns = np.column_stack([train.x[:], np.ones(len(train.x))])
    best, *_ = np.linalg.lstsq(columns, train.y, rcond=None)
    assert [*found["least_squares"].values()] == pytest.approx(best[:, 0], rel=1e-4)
    # 1,000 examples determine the line of the dataset to about 0.03.
    assert [*found["true"].values()] == pytest.approx(best[:, 0], abs=0.1)


def test_a_classifier_has_no_line():
    model = LinearModel(10)
    assert (model.epoch_values(), model.extra_results(None)) == ({}, {})
