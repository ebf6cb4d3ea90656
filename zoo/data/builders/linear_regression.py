"""The made data of the custom-training tutorial: a noisy straight line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from zoo.errors import UserError

WEIGHT = 3.0
BIAS = 2.0
NUM_TEST = 1000


@dataclasses.dataclass(eq=False)
class LineConfig(tfds.core.BuilderConfig):
    """How many training examples, and the seed they come from."""

    num_examples: int = 1000
    seed: int = 0


def builder(root: Path, num_examples: int, seed: int) -> LinearRegression:
    """Returns the builder of the configuration ``nNUM-seedSEED``.

    Raises:
        UserError: no example, or a negative seed.
    """
    if num_examples < 1 or seed < 0:
        raise UserError(
            "linear_regression needs num_examples of at least 1 and a seed of at "
            f"least 0. Received: num_examples={num_examples}, seed={seed}"
        )
    config = LineConfig(
        name=f"n{num_examples}-seed{seed}", num_examples=num_examples, seed=seed
    )
    return LinearRegression(data_dir=root, config=config)


class LinearRegression(tfds.core.GeneratorBasedBuilder):
    """y = 3x + 2 + N(0, 1) with x ~ N(0, 1); 1,000 test examples of their own."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        number = tfds.features.Tensor(shape=(1,), dtype=np.float32)
        return tfds.core.DatasetInfo(
            builder=self,
            description="y = 3x + 2 + N(0, 1) with x ~ N(0, 1), made from a seed.",
            features=tfds.features.FeaturesDict({"x": number, "y": number}),
            supervised_keys=("x", "y"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # Nothing to download.
        settings = self.builder_config
        return {
            "train": self._generate_examples(settings.num_examples, settings.seed, 0),
            "test": self._generate_examples(NUM_TEST, settings.seed, 1),
        }

    def _generate_examples(
        self, num_examples: int, seed: int, stream: int
    ) -> Iterator[tuple[int, dict]]:
        x, y = line(num_examples, seed, stream)
        for i in range(num_examples):
            yield i, {"x": x[i], "y": y[i]}


def line(num_examples: int, seed: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws examples.

    Args:
        num_examples: how many.
        seed: 0 or more.
        stream: 0 for training, 1 for test: independent of each other.

    Returns:
        x and y, float32 (num_examples, 1).
    """
    rng = np.random.default_rng([seed, stream])
    x = rng.standard_normal((num_examples, 1))
    y = WEIGHT * x + BIAS + rng.standard_normal((num_examples, 1))
    return x.astype(np.float32), y.astype(np.float32)
