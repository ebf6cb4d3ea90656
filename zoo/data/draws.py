"""Random numbers for a batch of images, or for some of its rows."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Draws:
    """Stateless random numbers for the rows of a batch that one process makes.

    Numbers are drawn for the whole batch, and ``own`` keeps those of the rows. The
    result therefore does not depend on which process makes which rows.
    """

    seed: tf.Tensor  # int (2,), such as (seed of the run, step)
    batch: tf.Tensor | int  # number of rows of the whole batch
    first: tf.Tensor | int = 0  # the first row to make
    size: tf.Tensor | int | None = None  # number of rows to make; None for all

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Returns float32 numbers (size, *shape) from ``low`` to ``high``."""
        shape = (self.batch, *shape)
        return self.own(tf.random.stateless_uniform(shape, self.seed, low, high))

    def own(self, drawn: tf.Tensor) -> tf.Tensor:
        """Returns the part of ``drawn`` (batch, ...) that belongs to the rows."""
        if self.size is None:
            return drawn
        return drawn[self.first : self.first + self.size]

    def stream(self, number: int) -> Draws:
        """Returns draws for the same rows that are independent of these."""
        return dataclasses.replace(self, seed=tf.random.fold_in(self.seed, number))
