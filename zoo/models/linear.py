"""Linear model: inputs * W + B. Reference: the linear-regression tutorial."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.models.base import TapeModel
from zoo.recipe import Recipe, initializer
from zoo.registry import register

#: Weight and bias from which the dataset linear_regression is made.
TRUE_LINE = (3.0, 2.0)


class LinearModel(TapeModel):
    """inputs * W + B: a regressor on numbers, a linear classifier on images.

    Input: (batch, 1) numbers, or (batch, height, width, channels) raw pixels 0..255.
    Output: predictions (batch, 1), or logits (batch, num_classes).

    Args:
        num_classes: number of classes; None for regression.
        kernel_initializer: Keras initializer of W.
        bias_initializer: Keras initializer of B.
        scale: factor for the raw input. None means 1/255 for pixels, 1 for numbers.
        **kwargs: passed on to TapeModel.
    """

    example_ranks = (1, 3)
    stages = ("dense",)

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        kernel_initializer: Any = "zeros",
        bias_initializer: Any = "zeros",
        scale: float | None = None,
        **kwargs: Any,
    ):
        if scale is None:
            scale = 1.0 if num_classes is None else 1 / 255
        super().__init__(num_classes, scale=scale, **kwargs)
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

    def line(self) -> tuple[float, float]:
        """Returns weight and bias of a regression: y = weight * x + bias."""
        at_zero, at_one = self(tf.constant([[0.0], [1.0]])).numpy()[:, 0].tolist()
        return at_one - at_zero, at_zero

    def epoch_values(self) -> dict[str, float]:
        """Returns weight and bias of a regression."""
        return _named(*self.line()) if self.num_classes is None else {}

    def extra_results(self, train: Any) -> dict[str, Any]:
        """Compares the line of a regression with the true and the best one."""
        if self.num_classes is not None:
            return {}
        x, y = (
            np.asarray(values[:], np.float64)[:, 0] for values in (train.x, train.y)
        )
        return {
            "learned": _named(*self.line()),
            "true": _named(*TRUE_LINE),
            "least_squares": _named(*np.polyfit(x, y, deg=1).tolist()),
        }

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _named(weight: float, bias: float) -> dict[str, float]:
    return {"weight": weight, "bias": bias}


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
    # python train.py --model=linear --dataset=mnist
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

register("linear", LinearModel, RECIPES, default_dataset="linear_regression")
