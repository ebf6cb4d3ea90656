"""The losses that recipes can name; most of them are Keras's."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="zoo")
class OneHotSquaredError(keras.losses.Loss):
    """Squared error between outputs and one-hot labels, as in the MLP tutorials.

    Args:
        over_classes: ``mean`` or ``sum``: how the squares of one example are combined.
            The loss of a batch is always the mean over its examples.
        name: name of the loss.
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


@keras.saving.register_keras_serializable(package="zoo")
class SmoothedCrossEntropy(keras.losses.Loss):
    """``keras.losses.CategoricalCrossentropy`` for integer labels and logits.

    Args:
        label_smoothing: share of each label that is spread evenly over all classes.
        name: name of the loss.
    """

    def __init__(self, label_smoothing: float, *, name: str = "smoothed_cross_entropy"):
        super().__init__(name=name, reduction="sum_over_batch_size")
        self.label_smoothing = label_smoothing

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Labels int (batch,), logits (batch, classes) -> losses (batch,)."""
        labels = tf.reshape(tf.cast(y_true, tf.int32), [-1])
        return keras.losses.categorical_crossentropy(
            tf.one_hot(labels, tf.shape(y_pred)[-1], dtype=y_pred.dtype),
            y_pred,
            from_logits=True,
            label_smoothing=self.label_smoothing,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"name": self.name, "label_smoothing": self.label_smoothing}


def make_loss(
    name: str, num_classes: int | None, label_smoothing: float = 0.0
) -> keras.losses.Loss:
    """Returns the loss of this name; ``auto`` chooses the usual one for the task."""
    if name == "auto":
        name = "mean_squared_error" if num_classes is None else "cross_entropy"
    if name == "cross_entropy" and label_smoothing:
        return SmoothedCrossEntropy(label_smoothing)
    crossentropy = keras.losses.SparseCategoricalCrossentropy
    losses = {
        "mean_squared_error": keras.losses.MeanSquaredError(),
        "cross_entropy": crossentropy(from_logits=True),
        "cross_entropy_sum": crossentropy(from_logits=True, reduction="sum"),
        "one_hot_mean": OneHotSquaredError("mean"),
        "one_hot_sum": OneHotSquaredError("sum"),
    }
    return losses[name]
