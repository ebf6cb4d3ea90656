"""Tests the splits of a dataset, and the part held out for validation."""

import numpy as np
import pytest

from zoo.data.dataset import Contents, Split
from zoo.errors import UserError


def make(labels, class_names=("a", "b", "c")):
    y = np.asarray(labels)
    split = Split(np.arange(len(y), dtype=np.float32).reshape(-1, 1), y)
    about = {"name": "made", "source": "made", "fingerprint": "made"}
    return Contents(split, split, class_names).describe(**about)


def test_a_part_is_held_out_by_class_and_in_order():
    whole = make([0] * 50 + [1] * 30 + [2] * 20)
    data = whole.hold_out(0.2, seed=3)
    assert data.spec.num_train == len(data.train.y) == 80
    assert np.bincount(data.validation.y).tolist() == [10, 6, 4]
    assert data.test is whole.test and whole.validation is None
    held_out, kept = (part.x[:, 0] for part in (data.validation, data.train))
    assert sorted([*held_out, *kept]) == list(range(100))
    for rows, y in ((held_out, data.validation.y), (kept, data.train.y)):
        assert (np.diff(rows) > 0).all()  # in the order of the file
        np.testing.assert_array_equal(whole.train.y[rows.astype(int)], y)


def test_the_seed_chooses_the_part():
    data = make([0, 1] * 50)
    one, same, other = (data.hold_out(0.1, seed).validation.x for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_regression_is_not_stratified():
    data = make(np.linspace(0, 1, 100).reshape(-1, 1), ()).hold_out(0.25, seed=0)
    assert data.spec.task == "regression"
    assert (data.spec.num_train, len(data.validation.y)) == (75, 25)


@pytest.mark.parametrize("share", [-0.1, 0.0, 0.01, 0.99, 1.0, 1.5, float("nan")])
def test_each_part_has_each_class(share):
    data = make([0] * 90 + [1] * 5)
    match = "the smallest class has 5. Received: "
    with pytest.raises(UserError, match=match):
        data.hold_out(share, seed=0)
    assert data.hold_out(0.2, 0).validation.y.sum() == 1
