"""Random numbers for a batch of images, or for some rows of it."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Draws:
    """Draws without state, for the rows of a batch that are made in one place.

    Numbers are drawn for the whole batch and ``own`` keeps those of the rows, so not
    one bit depends on which process makes which rows.
    """

    seed: tf.Tensor  # int (2,), such as (seed of the run, step)
    batch: tf.Tensor | int  # number of rows of the whole batch
    first: tf.Tensor | int = 0  # the first row that is made
    size: tf.Tensor | int | None = None  # number of rows that are made; None for all

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Returns float32 numbers (size, *shape) from ``low`` to ``high``."""
        shape = (self.batch, *shape)
        return self.own(tf.random.stateless_uniform(shape, self.seed, low, high))

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Returns those of ``drawn`` (batch, ...) that belong to the rows."""
        if self.size is None:
            return drawn
        return drawn[self.first : self.first + self.size]

    def stream(self, number: int) -> Draws:
        """Returns other draws for the same rows: numbers that are independent."""
        return dataclasses.replace(self, seed=tf.random.fold_in(self.seed, number))
