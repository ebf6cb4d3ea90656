"""Finds the first step whose loss or gradients are not finite, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf


class Seen(NamedTuple):
    """The first bad step that a ``NonFiniteGuard`` recorded, or else the last step."""

    steps: int  # steps since the guard was made, with this one
    loss: float
    learning_rate: float


def share_non_finite(
    loss: tf.Tensor, gradients: Sequence[tf.Tensor | None]
) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """Adds NaN to the first gradient where any replica's gradients are not finite.

    The loss becomes the mean over the replicas. Otherwise some would stop, or skip the
    step, and others would not: in Keras 3.15 LossScaleOptimizer halves its scale by
    what its own replica's gradients are.
    """
    gradients = list(gradients)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return loss, gradients
    both = tf.stack([tf.cast(loss, tf.float32) / replicas, 0.0 * _total(gradients)])
    all_reduce = tf.distribute.get_replica_context().all_reduce
    mean, health = tf.unstack(all_reduce("SUM", both))
    first, gradient = next((i, g) for i, g in enumerate(gradients) if g is not None)
    gradients[first] = gradient + tf.cast(health, gradient.dtype)
    return tf.cast(mean, loss.dtype), gradients


def _total(gradients: Sequence[tf.Tensor | None]) -> tf.Tensor:
    """Returns the sum of all elements: finite if they are, for one pass over them."""
    given = [tf.cast(g, tf.float32) for g in gradients if g is not None]
    return tf.add_n([tf.reduce_sum(gradient) for gradient in given])


class NonFiniteGuard:
    """Follows a training step by step until a loss or a gradient is not finite.

    Set as ``model.guard``, it makes the reported loss NaN from the first bad step on,
    so nobody has to read it from the device while all is well.
    """

    def __init__(self):
        # Steps, loss, learning rate, and a number: 0 while all is well, then NaN.
        # Each replica has its own, equal to the others': see ``share_non_finite``.
        self._seen = tf.Variable(
            [0.0] * 4,
            dtype=tf.float64,
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def report(
        self,
        loss: tf.Tensor,
        gradients: Sequence[tf.Tensor | None],
        optimizer: keras.optimizers.Optimizer,
    ) -> tf.Tensor:
        """Records a step; returns the loss, or NaN if a step so far was bad."""
        total = _total(gradients)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # Gradients may overflow: it halves its scale and skips the step.
            total = tf.where(optimizer.scale_loss(1.0) > 1.0, 0.0, total)
        steps, *_, before = tf.unstack(self._seen)
        wide = tf.cast(loss, tf.float64)
        learning_rate = tf.cast(optimizer.learning_rate, tf.float64)
        health = before + 0.0 * (wide + tf.cast(total, tf.float64))
        now = tf.stack([steps + 1.0, wide, learning_rate, health])
        self._seen.assign(tf.where(tf.math.is_finite(before), now, self._seen))
        return loss + tf.cast(health, loss.dtype)

    def seen(self) -> Seen:
        """Returns the first bad step, or the last one where all were well."""
        steps, loss, learning_rate, _ = self._seen.numpy().tolist()
        return Seen(int(steps), loss, learning_rate)
