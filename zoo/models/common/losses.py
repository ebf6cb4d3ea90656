"""The losses of the recipes, from Keras where Keras has them."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="zoo")
class OneHotSquaredError(keras.losses.Loss):
    """Squares of the outputs minus one-hot labels, as the MLP tutorials have it.

    Args:
        over_classes: ``mean`` or ``sum`` of the squares of one example. Over the
            batch it is always the mean.
        name: of the loss.
    """

    def __init__(
        self, over_classes: str = "mean", *, name: str = "one_hot_squared_error"
    ):
        super().__init__(name=name, reduction="sum_over_batch_size")
        self.over_classes = over_classes

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Labels int (batch,), outputs (batch, classes) -> losses (batch,)."""
        classes = tf.shape(y_pred)[-1]
        labels = tf.reshape(tf.cast(y_true, tf.int32), [-1])
        squares = tf.square(tf.one_hot(labels, classes, dtype=y_pred.dtype) - y_pred)
        if self.over_classes == "sum":
            return tf.reduce_sum(squares, axis=-1)
        return tf.reduce_mean(squares, axis=-1)

    def get_config(self) -> dict[str, str]:
        """Returns the constructor's arguments."""
        return {"name": self.name, "over_classes": self.over_classes}


def make_loss(name: str, num_classes: int | None) -> keras.losses.Loss:
    """Returns the loss that a recipe names; ``auto`` follows the task."""
    if name == "auto":
        name = "mean_squared_error" if num_classes is None else "cross_entropy"
    crossentropy = keras.losses.SparseCategoricalCrossentropy
    losses = {
        "mean_squared_error": keras.losses.MeanSquaredError(),
        "cross_entropy": crossentropy(from_logits=True),
        "cross_entropy_sum": crossentropy(from_logits=True, reduction="sum"),
        "one_hot_mean": OneHotSquaredError("mean"),
        "one_hot_sum": OneHotSquaredError("sum"),
    }
    return losses[name]
