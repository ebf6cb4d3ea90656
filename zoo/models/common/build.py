"""From a recipe to a compiled model: its weights, its loss and its optimizer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.models.common import losses, optimizers
from zoo.recipe import Recipe

_INITIAL_SCALE = 2.0**10


def check_task(name: str, recipe: Recipe, num_classes: int | None) -> None:
    """Raises UserError if the recipe is for another kind of dataset."""
    task = "regression" if num_classes is None else "classification"
    if recipe.task not in (None, task):
        raise UserError(
            f"This recipe of {name} is for {recipe.task}. Received: a dataset for "
            f"{task}. Choose another --recipe or --dataset."
        )


def compile_model(
    model: TapeModel,
    recipe: Recipe,
    input_shape: tuple[int, ...],
    steps: int | None,
    compile_options: dict[str, Any],
) -> None:
    """Makes all variables of a model and its optimizer, and compiles it.

    Args:
        model: as it was constructed.
        recipe: how it will be trained.
        input_shape: shape of one example.
        steps: see ``zoo.create_model``.
        compile_options: see ``zoo.create_model``.
    """
    # Called on data: build() alone would not show that the layers fit together.
    prediction = model(tf.zeros((1, *input_shape)))
    optimizer = make_optimizer(recipe, steps)
    if model.dtype_policy.name == "mixed_float16":
        # With Keras's 2**15 a regression overflows in its first five steps, and skips
        # them.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, _INITIAL_SCALE)
    compile_options = {"jit_compile": False} | compile_options
    regression = model.num_classes is None
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(
        optimizer=optimizer,
        loss=losses.make_loss(recipe.loss, model.num_classes),
        metrics=[] if regression else [accuracy],
        **compile_options,
    )
    # All variables are made now, so that a backup can be restored before the first
    # step, and so that LossScaleOptimizer's first trace sees its dynamic scale.
    model.optimizer.build(model.trainable_variables)
    target = tf.zeros((1, 1) if regression else (1,))
    model.compute_metrics(None, target, prediction)
    model.reset_metrics()


def make_optimizer(recipe: Recipe, steps: int | None) -> keras.optimizers.Optimizer:
    """Returns the recipe's optimizer; its schedule ends after ``steps``."""
    options: dict[str, Any] = {"learning_rate": _learning_rate(recipe, steps)}
    if recipe.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = recipe.momentum
    if recipe.optimizer == "sgd":
        options["nesterov"] = recipe.nesterov
    if recipe.weight_decay:
        options["weight_decay"] = recipe.weight_decay
    return optimizers.get(recipe.optimizer, options)


def _learning_rate(
    recipe: Recipe, steps: int | None
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if recipe.schedule == "constant" or steps is None:
        return recipe.learning_rate
    warmup_steps = round(recipe.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else recipe.learning_rate,
        decay_steps=max(1, steps - warmup_steps),
        warmup_target=recipe.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
