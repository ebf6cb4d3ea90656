"""Tests the noisy line."""

import numpy as np
import pytest

from zoo.data import load
from zoo.errors import UserError


def line(num_examples, seed):
    return load.load("linear_regression", num_examples=num_examples, seed=seed)


def test_it_is_the_line_and_the_streams_differ():
    one, same, other = line(2000, 1), line(2000, 1), line(2000, 2)
    x, y = one.train.x, one.train.y
    assert x.shape == y.shape == (2000, 1) and x.dtype == y.dtype == np.float32
    assert one.test.x.shape == (1000, 1)
    slope, offset = np.polyfit(x[:, 0], y[:, 0], 1)
    assert abs(slope - 3) < 0.1 and abs(offset - 2) < 0.1
    assert abs((y - 3 * x - 2).std() - 1) < 0.05
    np.testing.assert_array_equal(x, same.train.x)
    assert not np.isin(x, other.train.x).any()
    assert not np.isin(one.test.x, x).any()
    assert one.spec.fingerprint == "n2000-seed1" != other.spec.fingerprint
    assert one.spec.task == "regression" and one.spec.num_classes is None


@pytest.mark.parametrize(("num_examples", "seed"), [(0, 0), (-5, 0), (10, -1)])
def test_numbers_that_make_no_line(num_examples, seed):
    with pytest.raises(UserError, match="linear_regression needs"):
        line(num_examples, seed)
