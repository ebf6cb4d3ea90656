"""The synthetic data of the custom-training tutorial: a noisy straight line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

WEIGHT = 3.0
BIAS = 2.0


@dataclasses.dataclass(eq=False)
class LineConfig(tfds.core.BuilderConfig):
    """The number of training examples, and the seed that generates them."""

    num_examples: int = 1000
    seed: int = 0


class LinearRegression(tfds.core.GeneratorBasedBuilder):
    """y = 3x + 2 + N(0, 1) with x ~ N(0, 1), and 1,000 separate test examples."""

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
            "test": self._generate_examples(1000, settings.seed, 1),
        }

    def _generate_examples(
        self, num_examples: int, seed: int, stream: int
    ) -> Iterator[tuple[int, dict]]:
        # The streams of training and test examples are independent.
        rng = np.random.default_rng([seed, stream])
        x = rng.standard_normal((num_examples, 1))
        y = WEIGHT * x + BIAS + rng.standard_normal((num_examples, 1))
        for i in range(num_examples):
            yield i, {"x": x[i].astype(np.float32), "y": y[i].astype(np.float32)}
