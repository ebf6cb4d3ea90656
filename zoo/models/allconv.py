"""All-convolutional network.

Reference: Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional
Net" (arXiv:1412.6806), with batch normalization. The CNN tutorial's exercise asks for
such a network.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.models.layers import convolution
from zoo.recipe import DISTORTIONS, PHOTOGRAPHS, SMALL_DISTORTIONS, Recipe
from zoo.registry import register


class AllConv(TapeModel):
    """Five convolutions -> 1x1 convolution to classes -> mean over pixels.

    The second and the fourth convolution halve the image by their stride. Batch
    normalization and relu follow each of the five.

    Input: (batch, height, width, channels) raw pixels 0..255.
    Output: logits (batch, num_classes).

    Args:
        num_classes: number of classes.
        filters: numbers of filters of the five convolutions; the first is 5x5, the
            others are 3x3.
        **kwargs: passed on to TapeModel.
    """

    stages = ("block1", "block2", "block3", "block4", "block5", "classes")

    def __init__(
        self,
        num_classes: int,
        *,
        filters: tuple[int, int, int, int, int] = (24, 32, 48, 64, 96),
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.filters = tuple(filters)
        a, b, c, d, e = filters
        self.block1 = convolution(a, 5, name="block1")
        self.block2 = convolution(b, 3, strides=2, name="block2")
        self.block3 = convolution(c, 3, name="block3")
        self.block4 = convolution(d, 3, strides=2, name="block4")
        self.block5 = convolution(e, 3, name="block5")
        self.classes = self.make_head(keras.layers.Conv2D, num_classes, kernel_size=1)
        # Like the head, it computes in float32 even with mixed precision.
        self.mean = keras.layers.GlobalAveragePooling2D(
            name="mean", dtype=self.variable_dtype
        )

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits (batch, num_classes)."""
        x = self.block1(self.rescale(image), training=training)
        x = self.block2(x, training=training)  # (batch, height/2, width/2, filters[1])
        x = self.block3(x, training=training)
        x = self.block4(x, training=training)  # (batch, height/4, width/4, filters[3])
        x = self.block5(x, training=training)
        return self.mean(self.classes(x))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"filters": self.filters}


_DEFAULT = Recipe(
    augment=DISTORTIONS,
    optimizer="adamw",
    learning_rate=0.01,
    weight_decay=1e-2,
    schedule="cosine",
    warmup=0.1,
    batch_size=128,
    epochs=12,
    min_steps=600,
    steps_per_execution=5,
)

RECIPES = {
    # python train.py --model=allconv
    "default": _DEFAULT,
    # Longer, with smaller distortions: a network this small cannot learn larger ones.
    # python train.py --model=allconv --recipe=best
    "best": _DEFAULT.override(
        augment=SMALL_DISTORTIONS,
        weight_decay=5e-2,
        epochs=40,
        min_steps=2000,
    ),
    # For photographs, which may be mirrored: more filters.
    # python train.py --model=allconv --recipe=photos --dataset=cifar10
    "photos": dataclasses.replace(
        PHOTOGRAPHS,
        model={"filters": [32, 48, 64, 96, 128]},
        epochs=50,
        min_steps=1200,
    ),
    # Starts from --weights, with lower learning rates and fewer epochs.
    "finetune": _DEFAULT.override(
        augment={"shift": 0.05},
        learning_rate=2e-3,
        pretrained_rate=0.2,
        epochs=10,
        min_steps=400,
    ),
    # 99% on MNIST in the least time: fewer filters, 1.6 passes over the data.
    # python train.py --model=allconv --recipe=fast
    "fast": Recipe(
        model={"filters": [16, 24, 32, 48, 64]},
        augment={"shift": 0.05},
        optimizer="adamw",
        learning_rate=0.02,
        weight_decay=1e-2,
        schedule="cosine",
        warmup=0.2,
        batch_size=96,
        epochs=1,
        steps_per_epoch=1000,
        steps_per_execution=20,
    ),
}

register(
    "allconv",
    AllConv,
    RECIPES,
    # It loses 0.14 points on CIFAR-10.
    bounds={"photos": {"dynamic": {"accuracy_drop": 0.2}}},
)
