"""The first step whose loss or gradients are not finite: found on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Seen:
    """The last step that a ``NonFiniteGuard`` recorded.

    Attributes:
        steps: steps since the watch began; the first bad one is the last counted.
        loss: the loss of that step.
        learning_rate: the learning rate of that step.
    """

    steps: int
    loss: float
    learning_rate: float


def shared(
    loss: tf.Tensor, gradients: Sequence[tf.Tensor | None]
) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """Lets all replicas see what one of them sees that is not finite.

    Without it some would stop, or skip the step to halve LossScaleOptimizer's scale,
    which takes its own replica's gradients for everyone's (Keras 3.15), and others
    would not.

    Args:
        loss: scalar of one replica, of its mean size.
        gradients: of one replica.

    Returns:
        The mean of the losses, and the gradients: NaN in one place of each replica
        where those of any replica are not finite.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return loss, list(gradients)
    given = [tf.cast(g, tf.float32) for g in gradients if g is not None]
    health = 0.0 * tf.add_n([tf.reduce_sum(gradient) for gradient in given])
    both = tf.stack([tf.cast(loss, tf.float32) / replicas, health])
    mean, health = tf.unstack(
        tf.distribute.get_replica_context().all_reduce("SUM", both)
    )
    gradients = list(gradients)
    for i, gradient in enumerate(gradients):
        if gradient is not None:
            gradients[i] = gradient + tf.cast(health, gradient.dtype)
            break
    return tf.cast(mean, loss.dtype), gradients


class NonFiniteGuard:
    """Follows a training step by step until a loss or a gradient is not finite.

    Set as ``model.guard``, it makes the reported loss NaN from the first bad step
    on, so that nobody has to ask it while all is well.
    """

    def __init__(self):
        # Steps, loss, learning rate, and a number: 0 while all is well, then NaN.
        # Each replica has its own, and all of them see the same: see ``shared``.
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
        """Records a step.

        Args:
            loss: scalar, as it is to be reported.
            gradients: of this step, scaled as the optimizer takes them; None for a
                variable that the loss does not depend on.
            optimizer: a LossScaleOptimizer may see gradients that overflow: it
                halves its scale and skips the step.

        Returns:
            ``loss``, or NaN if this step or one before it was bad.
        """
        # A sum is finite if its terms are, and costs one pass over them.
        given = [tf.cast(g, tf.float32) for g in gradients if g is not None]
        total = tf.add_n([tf.reduce_sum(gradient) for gradient in given])
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            total = tf.where(optimizer.scale_loss(1.0) > 1.0, 0.0, total)
        steps, *_, before = tf.unstack(self._seen)
        wide, rate = (
            tf.cast(value, tf.float64) for value in (loss, optimizer.learning_rate)
        )
        health = before + 0.0 * (wide + tf.cast(total, tf.float64))
        now = tf.stack([steps + 1.0, wide, rate, health])
        self._seen.assign(tf.where(tf.math.is_finite(before), now, self._seen))
        return loss + tf.cast(health, loss.dtype)

    def seen(self) -> Seen:
        """Returns the first bad step, or the last one where all were well."""
        steps, loss, learning_rate, _ = self._seen.numpy().tolist()
        return Seen(int(steps), loss, learning_rate)
