"""The synthetic data of the custom-training tutorial: a noisy straight line."""

from __future__ import annotations

import numpy as np

from zoo.data.dataset import Contents, Dataset, Split
from zoo.data.source import Options
from zoo.errors import UserError

WEIGHT = 3.0
BIAS = 2.0


def read(options: Options) -> Dataset:
    """Returns y = 3x + 2 + N(0, 1) with x ~ N(0, 1), and 1,000 other test examples."""
    count, seed = options.num_examples, options.seed
    if count < 1 or seed < 0:
        raise UserError(
            "linear_regression needs num_examples of at least 1 and a seed of at "
            f"least 0. Received: num_examples={count}, seed={seed}"
        )
    # The streams of training and test examples are independent.
    train, test = _line(count, [seed, 0]), _line(1000, [seed, 1])
    return Contents(train, test).describe(
        name="linear_regression",
        source=f"linear_regression/n{count}-seed{seed}/1.0.0",
        fingerprint=f"n{count}-seed{seed}",
    )


def _line(count: int, seed: list[int]) -> Split:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 1))
    y = WEIGHT * x + BIAS + rng.standard_normal((count, 1))
    return Split(x.astype(np.float32), y.astype(np.float32))
