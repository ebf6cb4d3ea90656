"""Residual network for photographs.

Reference: He et al. 2016, "Deep Residual Learning for Image Recognition"
(arXiv:1512.03385), section 4.2. With one block in each of three stages, it is the
network of MLPerf Tiny's image classification benchmark.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.models.layers import convolution
from zoo.recipe import PHOTOGRAPHS
from zoo.registry import register

# Largest height and width, in pixels, that the last stage should see.
_LAST_SIDE = 8
_WIDTHS = (16, 32, 64)


class ResNet(TapeModel):
    """3x3 stem -> stages of basic blocks -> mean over pixels -> dense to classes.

    Each stage after the first halves the image. A block has two 3x3 convolutions beside
    a shortcut, which is a 1x1 convolution where the shape changes. Batch normalization
    follows each convolution.

    The recipes mirror images left to right, which suits photographs but not letters.

    Input: (batch, height, width, channels) raw pixels 0..255. The network is meant for
    images of 24 to 256 pixels a side.
    Output: logits (batch, num_classes).

    Args:
        num_classes: number of classes.
        widths: channels of each stage.
        blocks: basic blocks of each stage.
        stem_stride: factor by which the stem shrinks the image, a power of 2. Above 1,
            the stem is a sequence of 3x3 convolutions with stride 2. ``create_model``
            chooses the smallest factor with which the last stage sees at most 8 pixels
            a side.
        scale: factor for the raw input. By default, ``scale`` and ``offset`` map pixels
            to -1..1.
        offset: number added after scaling.
        **kwargs: passed on to TapeModel.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int] = _WIDTHS,
        blocks: Sequence[int] = (3, 3, 3),
        stem_stride: int = 1,
        scale: float = 1 / 127.5,
        offset: float = -1.0,
        **kwargs: Any,
    ):
        super().__init__(num_classes, scale=scale, offset=offset, **kwargs)
        self.widths, self.block_counts = tuple(widths), tuple(blocks)
        self.stem = Stem(widths[0], stem_stride)
        self.residual_stages = [
            _stage(i + 1, width, count)
            for i, (width, count) in enumerate(zip(widths, blocks, strict=True))
        ]
        # Like the head, it computes in float32 even with mixed precision.
        self.mean = keras.layers.GlobalAveragePooling2D(
            name="mean", dtype=self.variable_dtype
        )
        self.head = self.make_head(keras.layers.Dense, num_classes)

    @classmethod
    def arguments_for(
        cls,
        input_shape: tuple[int, ...],
        *,
        widths: Sequence[int] = _WIDTHS,
        stem_stride: int | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Chooses ``stem_stride`` by the size of the images unless it is given."""
        if stem_stride is None:
            halved, stem_stride = 2 ** (len(widths) - 1), 1
            while max(input_shape[:2]) > _LAST_SIDE * halved * stem_stride:
                stem_stride *= 2
        return {"widths": widths, "stem_stride": stem_stride, **arguments}

    @property
    def stages(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the layers with weights in the order of the computation."""
        numbers = range(1, len(self.widths) + 1)
        return ("stem", *(f"stage{number}" for number in numbers), "head")

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits (batch, num_classes)."""
        x = self.stem(self.rescale(image), training=training)
        for stage in self.residual_stages:
            x = stage(x, training=training)
        # With mixed precision, the published trainings rounded the features again.
        x = keras.ops.cast(self.mean(x), self.compute_dtype)  # (batch, widths[-1])
        return self.head(x)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "widths": self.widths,
            "blocks": self.block_counts,
            "stem_stride": self.stem.stride,
        }


def _stage(number: int, width: int, count: int) -> keras.Sequential:
    blocks = [
        BasicBlock(
            width,
            strides=2 if index == 1 and number > 1 else 1,
            name=f"block{index}",
        )
        for index in range(1, count + 1)
    ]
    return keras.Sequential(blocks, name=f"stage{number}")


class Stem(keras.layers.Layer):
    """One 3x3 convolution, or several that shrink the image by ``stride``.

    Args:
        width: number of output channels.
        stride: 1 or another power of 2.
    """

    def __init__(self, width: int, stride: int):
        super().__init__(name="stem")
        self.width, self.stride = width, stride

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the convolutions."""
        halvings = self.stride.bit_length() - 1
        self.convolutions = [
            convolution(
                self.width,
                3,
                strides=2 if halvings else 1,
                name=f"conv{number}",
            )
            for number in range(1, max(halvings, 1) + 1)
        ]
        for each in self.convolutions:
            each.build(input_shape)
            input_shape = each.compute_output_shape(input_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps images to features (batch, height/stride, width/stride, self.width)."""
        for each in self.convolutions:
            x = each(x, training=training)
        return x


class BasicBlock(keras.layers.Layer):
    """relu(conv(relu(conv(x))) + shortcut(x)), with batch normalization."""

    def __init__(self, width: int, *, strides: int, name: str):
        super().__init__(name=name)
        self.first = convolution(width, 3, strides=strides, name="conv1")
        self.second = convolution(width, 3, relu=False, name="conv2")
        self.shortcut = None
        if strides > 1:
            self.shortcut = convolution(
                width, 1, strides=strides, relu=False, name="shortcut"
            )
        self.relu = keras.layers.ReLU(name="relu")

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps features to features (batch, height/strides, width/strides, width)."""
        branch = self.second(self.first(x, training=training), training=training)
        if self.shortcut is not None:
            x = self.shortcut(x, training=training)
        return self.relu(branch + x)


_DEFAULT = dataclasses.replace(PHOTOGRAPHS, epochs=70, min_steps=1200)

RECIPES = {
    # python train.py --model=resnet
    "default": _DEFAULT,
    # The network of MLPerf Tiny, with less augmentation and decay than larger ones.
    # python train.py --model=resnet --recipe=tiny
    "tiny": _DEFAULT.override(
        model={"blocks": [1, 1, 1]},
        augment={"pad_crop": 4, "flip": 0.5},
        weight_decay=2e-3,
        epochs=100,
    ),
    # Starts from --weights, with lower learning rates and fewer epochs.
    "finetune": _DEFAULT.override(
        learning_rate=0.05,
        pretrained_rate=0.2,
        epochs=20,
        min_steps=400,
    ),
    # Wider, with two blocks in each stage.
    # python train.py --model=resnet --recipe=best
    "best": _DEFAULT.override(
        model={"widths": [32, 64, 96], "blocks": [2, 2, 2]}, epochs=60
    ),
}

register("resnet", ResNet, RECIPES, default_dataset="cifar10")
