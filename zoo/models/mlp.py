"""Multi-layer perceptron with three layers. Reference: the two MLP tutorials."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.recipe import DISTORTIONS, Recipe, initializer
from zoo.registry import register


class ThreeLayerMLP(TapeModel):
    """Flatten -> dense, relu -> dense, relu -> dense to classes.

    Input: (batch, height, width, channels) raw pixels 0..255.
    Output: logits (batch, num_classes).

    Args:
        num_classes: number of classes.
        hidden: widths of the two hidden layers.
        dropout: fraction of the features dropped before each layer except the first.
        kernel_initializer: Keras initializer of the three kernels.
        **kwargs: passed on to TapeModel.
    """

    stages = ("hidden1", "hidden2", "logits")

    def __init__(
        self,
        num_classes: int,
        *,
        hidden: tuple[int, int] = (256, 128),
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.hidden_units = tuple(hidden)
        self.dropout_rate = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        # Each layer needs a copy: Keras draws one seed per initializer.
        copy = self.kernel_initializer.clone
        first, second = hidden
        self.flatten = keras.layers.Flatten(name="flatten")
        self.hidden1 = keras.layers.Dense(
            first, activation="relu", kernel_initializer=copy(), name="hidden1"
        )
        self.dropout1 = keras.layers.Dropout(dropout, name="dropout1")
        self.hidden2 = keras.layers.Dense(
            second, activation="relu", kernel_initializer=copy(), name="hidden2"
        )
        self.dropout2 = keras.layers.Dropout(dropout, name="dropout2")
        self.logits = self.make_head(
            keras.layers.Dense, num_classes, kernel_initializer=copy()
        )

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns logits (batch, num_classes)."""
        x = self.flatten(self.rescale(image))  # (batch, height * width * channels)
        x = self.hidden1(x)  # (batch, hidden[0])
        x = self.hidden2(self.dropout1(x, training=training))  # (batch, hidden[1])
        return self.logits(self.dropout2(x, training=training))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "hidden": self.hidden_units,
            "dropout": self.dropout_rate,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


_DEFAULT = Recipe(
    augment={"shift": 0.07, "rotate": 10.0, "scale": 0.1, "shear": 0.1},
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=1e-2,
    schedule="cosine",
    batch_size=128,
    epochs=60,
    min_steps=1000,
    steps_per_execution=25,
)

RECIPES = {
    # python train.py --model=mlp
    "default": _DEFAULT,
    # Four times as wide, with elastic distortions too.
    # python train.py --model=mlp --recipe=best
    "best": _DEFAULT.override(
        model={"hidden": [1024, 512]},
        augment=DISTORTIONS,
        batch_size=256,
    ),
    # The tutorial on plain tensors: hand-made weights, squared error of one-hot labels.
    "tutorial_low_level": Recipe(
        task="classification",
        model={
            "scale": 1 / 255,
            "kernel_initializer": initializer("TruncatedNormal", stddev=0.1),
        },
        loss="one_hot_mean",
        optimizer="sgd",
        learning_rate=1e-3,
        batch_size=128,
        order="file",
        remainder="keep",
        epochs=10,
        steps_per_execution=25,
    ),
    # The tutorial on keras.Sequential: pixels in [-1, 1], squares summed over classes.
    "tutorial_keras": Recipe(
        task="classification",
        model={"scale": 2 / 255, "offset": -1.0},
        loss="one_hot_sum",
        optimizer="sgd",
        learning_rate=1e-3,
        batch_size=512,
        order="file",
        remainder="keep",
        epochs=1,
        steps_per_execution=25,
    ),
}

register("mlp", ThreeLayerMLP, RECIPES)
