"""Finds, on the device, the first step whose loss or gradients are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf


class Seen(NamedTuple):
    """The first bad step that a ``NonFiniteGuard`` saw, or else the last step."""

    steps: int  # steps since the guard was created, including this one
    loss: float
    learning_rate: float


def share_non_finite(
    loss: tf.Tensor, gradients: Sequence[tf.Tensor | None]
) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """Adds NaN to the first gradient if any replica's gradients are not finite.

    The loss becomes the mean over the replicas. Otherwise some replicas would stop, or
    skip the step, and others would not: in Keras 3.15, LossScaleOptimizer looks only at
    the gradients of its own replica when it halves its scale.
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
    """Returns the sum of all elements, which is finite only if all of them are."""
    given = [tf.cast(g, tf.float32) for g in gradients if g is not None]
    return tf.add_n([tf.reduce_sum(gradient) for gradient in given])


class NonFiniteGuard:
    """Records each training step until a loss or a gradient is not finite.

    Set as ``model.guard``, it makes the reported loss NaN from the first bad step on.
    A NaN loss is therefore enough to detect a bad step, without reads from the device.
    """

    def __init__(self):
        # Steps, loss, learning rate, and a number that is 0 until a bad step, then NaN.
        # Each replica has a copy; ``share_non_finite`` keeps the copies equal.
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
        """Records a step; returns the loss, or NaN if any step so far was bad."""
        total = _total(gradients)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # An overflow is allowed: the optimizer halves its scale, skips the step.
            total = tf.where(optimizer.scale_loss(1.0) > 1.0, 0.0, total)
        steps, *_, before = tf.unstack(self._seen)
        wide = tf.cast(loss, tf.float64)
        learning_rate = tf.cast(optimizer.learning_rate, tf.float64)
        health = before + 0.0 * (wide + tf.cast(total, tf.float64))
        now = tf.stack([steps + 1.0, wide, learning_rate, health])
        self._seen.assign(tf.where(tf.math.is_finite(before), now, self._seen))
        return loss + tf.cast(health, loss.dtype)

    def seen(self) -> Seen:
        """Returns the first bad step, or the last step if none was bad."""
        steps, loss, learning_rate, _ = self._seen.numpy().tolist()
        return Seen(int(steps), loss, learning_rate)
