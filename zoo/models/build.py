"""From a recipe to a compiled model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from zoo.errors import UserError
from zoo.models import losses, optimizers
from zoo.models.base import TapeModel
from zoo.recipe import Recipe

_INITIAL_SCALE = 2.0**10


def build_and_compile(
    name: str,
    model_class: type[TapeModel],
    recipe: Recipe,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    steps: int | None,
    compile_options: dict[str, Any],
) -> TapeModel:
    """Makes the model, its weights, its optimizer and its optimizer's slots.

    The arguments are those of ``zoo.create_model``.

    Raises:
        UserError: the model or the recipe is not for such examples.
    """
    model_class.check_input(name, input_shape, num_classes)
    task = "regression" if num_classes is None else "classification"
    if recipe.task not in (None, task):
        raise UserError(
            f"This recipe of {name} is for {recipe.task}. Received: a dataset for "
            f"{task}. Choose another --recipe or --dataset."
        )
    report_norm = compile_options.pop("report_gradient_norm", False)
    model = model_class(
        num_classes, report_gradient_norm=report_norm, name=name, **recipe.model
    )
    # Called on data: build() alone would not show that the layers fit together.
    prediction = model(tf.zeros((1, *input_shape)))
    optimizer = make_optimizer(recipe, steps)
    if model.dtype_policy.name == "mixed_float16":
        # From Keras's 2**15 a regression overflows, and skips, its first five steps.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, _INITIAL_SCALE)
    model.compile(
        optimizer=optimizer,
        loss=losses.make_loss(recipe.loss, num_classes),
        metrics=[] if num_classes is None else [_accuracy()],
        **{"jit_compile": False, **compile_options},
    )
    # All variables are made now, so that a backup can be restored before the first
    # step, and so that LossScaleOptimizer's first trace sees its dynamic scale.
    model.optimizer.build(model.trainable_variables)
    target_shape = (1, 1) if num_classes is None else (1,)
    model.compute_metrics(None, tf.zeros(target_shape), prediction)
    model.reset_metrics()
    return model


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


def _accuracy() -> keras.metrics.Metric:
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
