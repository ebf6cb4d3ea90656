"""Compiles a model as its recipe says: weights, loss and optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from zoo.errors import UserError
from zoo.models import losses, optimizers
from zoo.models.base import TapeModel
from zoo.recipe import Recipe

if TYPE_CHECKING:
    from zoo.registry import Architecture

_INITIAL_SCALE = 2.0**10


def check_examples(
    architecture: Architecture,
    recipe: Recipe,
    input_shape: tuple[int, ...],
    num_classes: int | None,
) -> None:
    """Raises UserError unless the model and the recipe accept these examples."""
    model, ranks = architecture.name, architecture.model_class.example_ranks
    regression = num_classes is None
    counts = [*input_shape, 1 if regression else num_classes]
    if not all(isinstance(n, int) and n >= 1 for n in counts):
        raise UserError(
            "Sizes of examples and the number of classes must be whole numbers, 1 "
            f"or more. Received: input_shape={tuple(input_shape)}, "
            f"num_classes={num_classes}."
        )
    if len(input_shape) not in ranks or (regression and 1 not in ranks):
        raise UserError(
            f"Model {model!r} takes images (height, width, channels) with classes. "
            f"Received: examples of shape {tuple(input_shape)}, "
            f"{num_classes or 'no'} classes. Choose another --model or --dataset."
        )
    least = architecture.min_side
    if len(input_shape) == 3 and min(input_shape[:2]) < least:
        height, width = input_shape[:2]
        raise UserError(
            f"Model {model!r} takes images of {least}x{least} pixels or more. "
            f"Received: {height}x{width}. Set --image_size={least}, or choose another "
            "--model."
        )
    task = "regression" if regression else "classification"
    if recipe.task not in (None, task):
        raise UserError(
            f"This recipe of {model} is for {recipe.task}. Received: a dataset for "
            f"{task}. Choose another --recipe or --dataset."
        )


def compile_model(
    model: TapeModel,
    recipe: Recipe,
    input_shape: tuple[int, ...],
    steps: int | None,
    compile_options: dict[str, Any],
    pretrained: Sequence[keras.Variable] = (),
) -> None:
    """Creates all variables of a model and its optimizer, and compiles the model.

    The ``pretrained`` weights are trained with the recipe's lower learning rate.
    """
    # Call the model, because build() alone would not reveal layers that do not fit.
    prediction = model(tf.zeros((1, *input_shape)))
    optimizer = make_optimizer(recipe, steps)
    if pretrained and recipe.pretrained_rate < 1:
        optimizers.slow_down(optimizer, pretrained, recipe.pretrained_rate)
    if model.dtype_policy.name == "mixed_float16":
        # With Keras's default of 2**15, a regression overflows in its first five steps
        # and skips them.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, _INITIAL_SCALE)
    compile_options = {"jit_compile": False} | compile_options
    regression = model.num_classes is None
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(
        optimizer=optimizer,
        loss=losses.make_loss(recipe.loss, model.num_classes, recipe.label_smoothing),
        metrics=[] if regression else [accuracy],
        **compile_options,
    )
    # Create all variables now, so that a backup can be restored before the first step,
    # and so that LossScaleOptimizer's first trace sees its dynamic scale.
    model.optimizer.build(model.trainable_variables)
    target = tf.zeros((1, 1) if regression else (1,))
    model.compute_metrics(None, target, prediction)
    model.reset_metrics()


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
    optimizer = optimizers.get(recipe.optimizer, options)
    if recipe.decay_kernels_only:
        # The pattern matches Keras's name "gamma" and TensorFlow's "layer/gamma:0",
        # which Keras 3.15 passes. It must be set before build().
        names = [r"(^|/)(beta|bias|gamma)(:0)?$"]
        optimizer.exclude_from_weight_decay(var_names=names)
    return optimizer
