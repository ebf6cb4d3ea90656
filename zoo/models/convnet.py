"""Network of one convolution and two dense layers. Reference: the CNN tutorial."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.recipe import DISTORTIONS, SMALL_DISTORTIONS, Recipe, initializer
from zoo.registry import register


class ConvNet(TapeModel):
    """3x3 convolution, relu -> 2x2 max-pool -> dense, relu -> dense to classes.

    Input: (batch, height, width, channels) raw pixels 0..255.
    Output: logits (batch, num_classes).

    Args:
        num_classes: number of classes.
        filters: number of filters of the convolution.
        hidden: width of the hidden layer.
        dropout: fraction of the features dropped before the hidden layer, 0 to 0.5.
            Twice as much is dropped before the logits.
        kernel_initializer: Keras initializer of the three kernels.
        **kwargs: passed on to TapeModel.
    """

    stages = ("conv", "hidden", "logits")

    def __init__(
        self,
        num_classes: int,
        *,
        filters: int = 32,
        hidden: int = 1024,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.filters = filters
        self.hidden_units = hidden
        self.dropout_rate = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        # Each layer needs a copy: Keras draws one seed per initializer.
        copy = self.kernel_initializer.clone
        self.conv = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer=copy(),
            name="conv",
        )
        self.pool = keras.layers.MaxPooling2D(2, padding="same", name="pool")
        self.flatten = keras.layers.Flatten(name="flatten")
        self.dropout1 = keras.layers.Dropout(dropout, name="dropout1")
        self.hidden = keras.layers.Dense(
            hidden, activation="relu", kernel_initializer=copy(), name="hidden"
        )
        self.dropout2 = keras.layers.Dropout(2 * dropout, name="dropout2")
        self.logits = self.make_head(
            keras.layers.Dense, num_classes, kernel_initializer=copy()
        )

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits (batch, num_classes)."""
        x = self.conv(self.rescale(image))  # (batch, height, width, filters)
        x = self.flatten(self.pool(x))  # (batch, height/2 * width/2 * filters)
        x = self.hidden(self.dropout1(x, training=training))  # (batch, hidden)
        return self.logits(self.dropout2(x, training=training))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "filters": self.filters,
            "hidden": self.hidden_units,
            "dropout": self.dropout_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


_DEFAULT = Recipe(
    augment=DISTORTIONS,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=1e-2,
    schedule="cosine",
    warmup=0.05,
    batch_size=256,
    epochs=30,
    min_steps=300,
    steps_per_execution=5,
)

RECIPES = {
    # python train.py --model=convnet
    "default": _DEFAULT,
    # Twice as long, with smaller distortions: the network cannot learn larger ones.
    # python train.py --model=convnet --recipe=best
    "best": _DEFAULT.override(
        model={"dropout": 0.2},
        augment=SMALL_DISTORTIONS,
        epochs=60,
        min_steps=600,
    ),
    # The tutorial takes reduce_mean of a scalar, so its loss is a sum over the batch.
    "tutorial": Recipe(
        task="classification",
        model={
            "scale": 1 / 255,
            "kernel_initializer": initializer("RandomNormal", stddev=0.05),
        },
        loss="cross_entropy_sum",
        optimizer="sgd",
        learning_rate=1e-3,
        batch_size=128,
        remainder="keep",
        epochs=2,
        steps_per_execution=5,
    ),
}

register("convnet", ConvNet, RECIPES)
