"""Tests how the weights that come with the zoo are rounded."""

from __future__ import annotations

import numpy as np

from benchmarks import weights


def test_weights_are_rounded_to_significant_bits():
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    # Between 2**-14 and 65504, float16 has 11 significant bits and float32 has 24.
    x = x[np.abs(x) > 2**-14]
    np.testing.assert_array_equal(weights.rounded(x, 11), x.astype(np.float16))
    np.testing.assert_array_equal(weights.rounded(x, 24), x)
    assert weights.rounded(x, 12).dtype == np.float32
    error = np.abs(weights.rounded(x, 16) - x) / np.abs(x)
    assert 0 < error.max() <= 2**-16
