"""Tests that the texts of flags become numbers, or errors of one line."""

import pytest

from zoo.errors import UserError
from zoo.training.config import parse_memory_limit


def test_memory_limits_are_sizes():
    assert parse_memory_limit("auto") is None
    assert parse_memory_limit("8G") == 8 * 10**9
    assert parse_memory_limit("1.5gb") == 15 * 10**8
    assert parse_memory_limit("500M") == 5 * 10**8
    assert parse_memory_limit("8000000000") == 8 * 10**9
    for text in ("", "0", "-1", "8 apples", "nan", "0.5", "0.0001K", "1.2.3", "9" * 30):
        with pytest.raises(UserError, match="--memory_limit must be a number of bytes"):
            parse_memory_limit(text)
