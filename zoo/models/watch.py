"""The first step whose loss or gradients are not finite: found on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Seen:
    """The last step that a ``Watch`` recorded.

    Attributes:
        steps: steps since the watch began; the first bad one is the last counted.
        loss: the loss of that step.
        learning_rate: the learning rate of that step.
    """

    steps: int
    loss: float
    learning_rate: float


class Watch:
    """Follows a training step by step until a loss or a gradient is not finite.

    Set as ``model.watch``, it makes the reported loss NaN from the first bad step
    on, so that nobody has to ask it while all is well.
    """

    def __init__(self):
        # Steps, loss, learning rate, and a number: 0 while all is well, then NaN.
        self._seen = tf.Variable([0.0] * 4, dtype=tf.float64, trainable=False)

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
