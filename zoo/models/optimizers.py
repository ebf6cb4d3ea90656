"""The optimizers of recipes: Keras's, with a fused kernel for Adam and AdamW.

Keras writes the update as a dozen operations, each of which passes over the variable;
TensorFlow's ``ResourceApplyAdam`` is a single one. `python -m benchmarks fit` measures
the gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo.recipe import Recipe


class _OneKernel(keras.optimizers.Adam):
    """Computes the update of ``keras.optimizers.Adam`` with one fused operation."""

    def update_step(
        self,
        gradient: tf.Tensor | tf.IndexedSlices,
        variable: tf.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        """Updates one variable and its two moments."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return

        # tf.cast would round these numbers to float32 first.
        beta_1, beta_2, epsilon = (
            tf.constant(number, variable.dtype)
            for number in (self.beta_1, self.beta_2, self.epsilon)
        )
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable(package="zoo")
class Adam(_OneKernel, keras.optimizers.Adam):
    """A fused ``keras.optimizers.Adam``."""


@keras.saving.register_keras_serializable(package="zoo")
class AdamW(_OneKernel, keras.optimizers.AdamW):
    """A fused ``keras.optimizers.AdamW``."""


def slow_down(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    factor: float,
) -> None:
    """Makes an optimizer update some variables at a fraction of the learning rate.

    Decoupled weight decay still uses the full rate.
    """
    slow = {optimizer._var_key(variable) for variable in variables}
    update_step = optimizer.update_step

    def update(
        gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        if optimizer._var_key(variable) in slow:
            learning_rate = learning_rate * factor
        update_step(gradient, variable, learning_rate)

    optimizer.update_step = update


def make_optimizer(recipe: Recipe, steps: int | None) -> keras.optimizers.Optimizer:
    """Returns the recipe's optimizer; its schedule ends after ``steps``."""
    options: dict[str, Any] = {"learning_rate": recipe.learning_rate}
    if recipe.schedule == "cosine" and steps is not None:
        warmup_steps = round(recipe.warmup * steps)
        options["learning_rate"] = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else recipe.learning_rate,
            decay_steps=max(1, steps - warmup_steps),
            warmup_target=recipe.learning_rate if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    if recipe.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = recipe.momentum
    if recipe.optimizer == "sgd":
        options["nesterov"] = recipe.nesterov
    if recipe.weight_decay:
        options["weight_decay"] = recipe.weight_decay
    fused = {"adam": Adam, "adamw": AdamW}
    if recipe.optimizer in fused:
        optimizer = fused[recipe.optimizer](**options)
    else:
        given = {"class_name": recipe.optimizer, "config": options}
        optimizer = keras.optimizers.get(given)
    if recipe.decay_kernels_only:
        # The pattern matches Keras's name "gamma" and TensorFlow's "layer/gamma:0",
        # which Keras 3.15 passes. It must be set before build().
        names = [r"(^|/)(beta|bias|gamma)(:0)?$"]
        optimizer.exclude_from_weight_decay(var_names=names)
    return optimizer
