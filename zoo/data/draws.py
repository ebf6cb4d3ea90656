"""Random numbers for a batch of images, or for some rows of it."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws without state, for the rows of a batch that are made in one place.

    Numbers are drawn for the whole batch and ``own`` keeps those of the rows, so not
    one bit depends on which process makes which rows.

    Attributes:
        seed: int (2,), such as (seed of the run, step).
        size: number of rows.
        first: the first row.
        batch: number of rows of the whole batch; None if these are all.
    """

    seed: tf.Tensor
    size: tf.Tensor | int
    first: tf.Tensor | int = 0
    batch: tf.Tensor | int | None = None

    @property
    def whole(self) -> tf.Tensor | int:
        """Number of rows of the whole batch."""
        return self.size if self.batch is None else self.batch

    def uniform(self, shape: tuple, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Returns float32 numbers from ``low`` to ``high``."""
        return tf.random.stateless_uniform(shape, self.seed, low, high)

    def normal(self, shape: tuple) -> tf.Tensor:
        """Returns float32 numbers of mean 0 and variance 1."""
        return tf.random.stateless_normal(shape, self.seed)

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Returns those of ``drawn`` (whole, ...) that belong to the rows."""
        return drawn[self.first : self.first + self.size]

    def stream(self, number: int) -> Draws:
        """Returns other draws for the same rows: numbers that are independent."""
        return dataclasses.replace(self, seed=tf.random.fold_in(self.seed, number))
