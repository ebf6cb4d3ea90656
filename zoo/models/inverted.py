"""Networks of inverted residual blocks, which MobileNetV2 introduced.

Reference: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks"
(arXiv:1801.04381).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.models.layers import BatchNormalization

#: The percentage points of accuracy that an int8 file may lose: on ImageNet, those of
#: EfficientNet-Lite are published with 0.6 to 0.8 points less than float32.
INT8_DROP = 0.8
_EPSILON = 1e-3


class Stage(NamedTuple):
    """A sequence of blocks with the same width.

    Attributes:
        blocks: number of blocks.
        kernel: height and width of the depthwise kernels.
        stride: stride of the first block.
        expansion: factor by which a block widens its input.
        filters: channels of the output.
    """

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


def divisible(channels: float) -> int:
    """Returns the multiple of 8 nearest to a width, at most a tenth below it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class InvertedResiduals(TapeModel):
    """3x3 stem -> seven stages of inverted residual blocks -> 1x1 top -> mean -> dense.

    Batch normalization follows each convolution, and ReLU6 each one except for the
    last of a block.

    Args:
        num_classes: number of classes.
        stem: channels of the stem.
        sizes: the stages.
        top: number of features.
        dropout: fraction of the features dropped before the head.
        **kwargs: passed on to TapeModel.
    """

    stages = ("stem", *(f"stage{number}" for number in range(1, 8)), "top", "head")

    def __init__(
        self,
        num_classes: int,
        *,
        stem: int,
        sizes: Sequence[Stage],
        top: int,
        dropout: float,
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.dropout_rate = dropout
        self.stem = NormalizedConvolution(stem, 3, strides=2, name="stem")
        self.residual_stages = []
        channels = stem
        for number, size in enumerate(sizes, start=1):
            stage = _stage(channels, size, name=f"stage{number}")
            self.residual_stages.append(stage)
            channels = size.filters
        self.top = NormalizedConvolution(top, 1, name="top")
        # Like the head, it computes in float32 even with mixed precision.
        self.mean = keras.layers.GlobalAveragePooling2D(
            name="mean", dtype=self.variable_dtype
        )
        self.dropout = keras.layers.Dropout(dropout, name="dropout")
        self.head = self.make_head(keras.layers.Dense, num_classes)

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits (batch, num_classes)."""
        x = self.stem(self.rescale(image), training=training)
        for stage in self.residual_stages:
            x = stage(x, training=training)
        x = self.mean(self.top(x, training=training))  # (batch, top)
        return self.head(self.dropout(x, training=training))

    def take_over(self, arrays: Sequence[np.ndarray]) -> None:
        """Sets all weights from arrays in the order of the computation.

        The order of a normalization is gamma, beta, mean and variance; the arrays have
        the shapes that Keras gives to such weights.
        """
        for weight, array in zip(self.weights, arrays, strict=True):
            weight.assign(array)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"dropout": self.dropout_rate}


def _stage(channels: int, size: Stage, *, name: str) -> keras.Sequential:
    blocks = []
    for index in range(1, size.blocks + 1):
        strides = size.stride if index == 1 else 1
        blocks.append(
            InvertedResidual(channels, size, strides=strides, name=f"block{index}")
        )
        channels = size.filters
    return keras.Sequential(blocks, name=name)


class InvertedResidual(keras.layers.Layer):
    """project(depthwise(expand(x))), plus x if the shapes are the same."""

    def __init__(self, channels: int, size: Stage, *, strides: int, name: str):
        super().__init__(name=name)
        self.expand = None
        if size.expansion > 1:
            self.expand = NormalizedConvolution(
                channels * size.expansion, 1, name="expand"
            )
        self.depthwise = NormalizedConvolution(
            None, size.kernel, strides=strides, name="depthwise"
        )
        self.project = NormalizedConvolution(
            size.filters, 1, relu6=False, name="project"
        )
        self.is_residual = strides == 1 and channels == size.filters

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps features to features (batch, height/strides, width/strides, filters)."""
        y = x if self.expand is None else self.expand(x, training=training)
        y = self.project(self.depthwise(y, training=training), training=training)
        return x + y if self.is_residual else y


class NormalizedConvolution(keras.layers.Layer):
    """A convolution, batch normalization and, by default, ReLU6.

    Where the normalization uses its moving statistics, it is a factor and an addend for
    each channel. The convolution then takes them into its kernel and a bias, which
    saves two passes over the features, forward and backward.

    Args:
        filters: number of output channels; None for a depthwise convolution.
        size: height and width of the kernel.
        strides: stride in both directions.
        relu6: whether a ReLU6 follows.
        name: name of the layer.
    """

    def __init__(
        self,
        filters: int | None,
        size: int,
        *,
        strides: int = 1,
        relu6: bool = True,
        name: str,
    ):
        super().__init__(name=name)
        options: dict[str, Any] = {
            "strides": strides,
            "padding": "same",
            "use_bias": False,  # the normalization would subtract it again
            "name": "conv",
        }
        self.conv: keras.layers.Layer
        if filters is None:
            self.conv = keras.layers.DepthwiseConv2D(
                size, depthwise_initializer="he_normal", **options
            )
        else:
            self.conv = keras.layers.Conv2D(
                filters, size, kernel_initializer="he_normal", **options
            )
        self.norm = BatchNormalization(epsilon=_EPSILON, momentum=0.99, name="norm")
        self.relu6 = relu6

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights of both layers, even if only one of them is called."""
        self.conv.build(input_shape)
        self.norm.build(self.conv.compute_output_shape(input_shape))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps (batch, height, width, channels) to the same with ``filters``."""
        if self.norm.uses_batch(training):
            x = self.norm(self.conv(x), training=True)
        else:
            x = self._folded(x)
        return tf.nn.relu6(x) if self.relu6 else x

    def _folded(self, x: tf.Tensor) -> tf.Tensor:
        norm, strides = self.norm, self.conv.strides[0]
        factor = norm.gamma * tf.math.rsqrt(norm.moving_variance + _EPSILON)
        bias = tf.cast(norm.beta - norm.moving_mean * factor, x.dtype)
        # With mixed precision, the kernel has 16 bits, and the normalization has 32.
        kernel = tf.cast(self.conv.kernel, factor.dtype)
        if isinstance(self.conv, keras.layers.DepthwiseConv2D):
            kernel = tf.cast(kernel * factor[:, tf.newaxis], x.dtype)
            y = tf.nn.depthwise_conv2d(x, kernel, [1, strides, strides, 1], "SAME")
        else:
            kernel = tf.cast(kernel * factor, x.dtype)
            y = tf.nn.conv2d(x, kernel, strides, "SAME")
        return tf.nn.bias_add(y, bias)
