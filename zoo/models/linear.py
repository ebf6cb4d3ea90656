"""Linear model: inputs * W + B. Reference: the linear-regression tutorial."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.recipe import Recipe, initializer
from zoo.registry import register


class LinearModel(TapeModel):
    """inputs * W + B: a regressor on numbers, a linear classifier on images.

    Input: (batch, 1) numbers, or (batch, height, width, channels) raw pixels 0..255.
    Output: predictions (batch, 1), or logits (batch, num_classes).

    Args:
        num_classes: number of classes; None for regression.
        kernel_initializer: Keras initializer of W.
        bias_initializer: Keras initializer of B.
        **kwargs: passed on to TapeModel.
    """

    example_ranks = (1, 3)
    default_dataset = "linear_regression"
    head_name = "dense"

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        kernel_initializer: Any = "zeros",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(num_classes, **kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.flatten = keras.layers.Flatten(name="flatten")
        self.dense = self.make_head(
            keras.layers.Dense,
            1 if num_classes is None else num_classes,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns predictions or logits."""
        x = self.flatten(self.rescale(inputs))  # (batch, height * width * channels)
        return self.dense(x)  # (batch, 1 or num_classes)

    def epoch_values(self) -> dict[str, float]:
        """Returns weight and bias of a regression."""
        if self.num_classes is not None:
            return {}
        weight, bias = self.line()
        return {"weight": weight, "bias": bias}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


_TUTORIAL = Recipe(
    task="regression",
    model={
        "kernel_initializer": initializer("Constant", value=5.0),
        "bias_initializer": initializer("Constant", value=10.0),
    },
    loss="mean_squared_error",
    optimizer="sgd",
    learning_rate=0.01,
    batch_size=None,
    order="file",
    num_examples=1000,
    epochs=10,
    steps_per_epoch=20,
    steps_per_execution=20,
)

RECIPES = {
    # Adam is 0.2 points better, but its weights lose 0.1 points in int8.
    # mnist 92.62% (92.61 to 92.63, 3 seeds) in 4 s on 4 CPUs:
    #   python train.py --model=linear
    # digits 96.94% (96.94 to 96.94, 3 seeds) in 3 s on 1 CPU:
    #   python train.py --model=linear --dataset=digits
    "default": Recipe(
        optimizer="sgd",
        learning_rate=0.1,
        momentum=0.9,
        schedule="cosine",
        batch_size=128,
        epochs=20,
        min_steps=2000,
        steps_per_execution=50,
    ),
    # Ends at W = 3.02, B = 2.17: 200 steps with rate 0.01 are not quite enough for B.
    "tutorial": _TUTORIAL,
    # The tutorial's tf.keras.Model subclass uses more data and trains for longer.
    "tutorial_subclass": _TUTORIAL.override(num_examples=2000, epochs=15),
}

register("linear", LinearModel, RECIPES)
