"""Layers that the convolutional networks share."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """``keras.layers.BatchNormalization`` for images, with a faster training step.

    Keras computes mean, variance and the normalization as separate operations;
    TensorFlow's ``FusedBatchNormV3`` does all three in one. On several devices, and in
    inference, this layer uses Keras's own code. Devices synchronize their statistics,
    so that they train as one device with the whole batch would.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(synchronized=True, **kwargs)
        #: Whether to normalize with the moving statistics in training too.
        self.freeze_statistics = False

    def uses_batch(self, training: bool | None) -> bool:
        """Whether it normalizes with the statistics of the batch."""
        return bool(training and self.trainable and not self.freeze_statistics)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalizes (batch, height, width, channels), in the dtype of the inputs."""
        training = self.uses_batch(training)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        is_double = inputs.dtype == tf.float64  # which the kernel does not take
        if not training or replicas > 1 or is_double:
            return super().call(inputs, training=training)

        output, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel returns the unbiased variance; Keras uses the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count
        for moving, now in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            kept = tf.cast(moving, tf.float32) * self.momentum
            moving.assign(kept + now * (1.0 - self.momentum))
        return output


def convolution(
    filters: int,
    size: int,
    *,
    strides: int = 1,
    relu: bool = True,
    name: str,
) -> keras.Sequential:
    """Returns a convolution, batch normalization and, by default, a ReLU.

    Args:
        filters: number of output channels.
        size: height and width of the kernel.
        strides: stride of the convolution in both directions.
        relu: whether a ReLU follows.
        name: name of the group; its layers are ``conv``, ``norm`` and ``relu``.
    """
    layers = [
        # No bias: the normalization would subtract it again.
        keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name="conv",
        ),
        BatchNormalization(momentum=0.9, name="norm"),
    ]
    if relu:
        layers.append(keras.layers.ReLU(name="relu"))
    return keras.Sequential(layers, name=name)
