"""Creates models, and compiles them as their recipes say."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo import registry, startup
from zoo.errors import UserError
from zoo.models import losses, optimizers, transfer
from zoo.models.base import TapeModel
from zoo.recipe import Recipe
from zoo.records import published
from zoo.records import weights as records

_INITIAL_SCALE = 2.0**10


def create_model(
    name: str,
    *,
    input_shape: tuple[int, ...] | None = None,
    num_classes: int | None = None,
    recipe: str | Recipe = "default",
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> TapeModel:
    """Builds and compiles a model as its recipe says.

    Args:
        name: a name of ``list_models()``.
        input_shape: shape of one example: (height, width, channels) of raw pixels
            0..255, or (1,) for linear regression. With ``weights``, None means the
            shape that they were trained on.
        num_classes: number of classes; None for regression. With ``weights``, None
            means the classes that they were trained on.
        recipe: a name of ``list_recipes(name)``, or a Recipe.
        weights: pretrained weights: DATASET or DATASET/RECIPE of ``list_weights()``, a
            run directory, a .keras file, or ``imagenet``. The arguments of the
            architecture then come from the weights and not from the recipe.
        **options: of ``make_model``, such as ``new_head=True``, ``features=True``,
            ``freeze="head"`` or ``steps=1000``, and of Keras's ``compile``.

    Returns:
        The model with its weights, ready for ``predict`` and ``fit``.

    Raises:
        UserError: a name is unknown, the model does not accept such examples, or the
            weights are damaged or do not fit.
    """
    startup.start_for_api()
    architecture = registry.get_architecture(name)
    of_recipe = recipe if isinstance(recipe, str) else "default"
    recipe = registry.get_recipe(name, recipe) if isinstance(recipe, str) else recipe
    given = None
    side = max(input_shape[:2]) if input_shape else None
    if weights in architecture.weights and not published.find(name, str(weights)):
        given = architecture.weights[str(weights)](side, **recipe.model)
    elif weights is not None:
        found = records.find(name, weights, of_recipe)
        given = transfer.load(architecture, found, side)
    return make_model(
        architecture,
        recipe,
        given,
        input_shape=input_shape,
        num_classes=num_classes,
        **options,
    )


def make_model(
    architecture: registry.Architecture,
    recipe: Recipe,
    given: TapeModel | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    num_classes: int | None = None,
    new_head: bool = False,
    features: bool = False,
    freeze: str | None = None,
    steps: int | None = None,
    report_gradient_norm: bool = False,
    **compile_options: Any,
) -> TapeModel:
    """Builds and compiles a model, with the weights of another one if it is given.

    Args:
        architecture: its architecture.
        recipe: how it will be trained.
        given: a trained model whose weights it gets.
        input_shape: as for ``create_model``.
        num_classes: as for ``create_model``.
        new_head: whether to make a new head even if the number of classes is the same.
        features: whether to return the network without its head and not compiled. Its
            output is float32 features (batch, n).
        freeze: name of a layer, such as ``head``. The layers before it are not trained.
        steps: number of steps of the whole training, for a learning-rate schedule; None
            keeps the learning rate constant.
        report_gradient_norm: whether to report the global gradient norm as a metric.
        **compile_options: passed on to ``compile``, such as ``jit_compile=True``.
    """
    if given is None:
        recipe = recipe.from_scratch()
    else:
        input_shape = input_shape or given.example_shape
        num_classes = given.num_classes if num_classes is None else num_classes
    if input_shape is None:
        raise UserError("create_model needs input_shape, or weights. Received: none.")
    input_shape = tuple(input_shape)
    counted = num_classes or 1 if features else num_classes
    check_examples(architecture, recipe, input_shape, counted)
    model_class = architecture.model_class
    if given is not None:
        config = given.get_config()
    else:
        config = model_class.arguments_for(input_shape, **recipe.model)
    config |= {
        "name": architecture.name,
        "num_classes": 0 if features else num_classes,
        "freeze": freeze,
        "freeze_statistics": recipe.freeze_statistics,
        "report_gradient_norm": report_gradient_norm,
    }
    model = model_class.from_config(config)
    copied: list[keras.Variable] = []
    if given is not None:
        model.build((None, *input_shape))
        head = not new_head and model.num_classes == given.num_classes
        copied = transfer.copy(given, model, head=head)
        if not copied and not features:
            raise UserError(
                f"{architecture.name} is only a head, so none of its weights can be "
                "kept for other classes. Train it without --weights."
            )
    if features:
        model.build((None, *input_shape))
    else:
        _compile(model, recipe, input_shape, steps, compile_options, copied)
    return model


def multiply_adds(model: TapeModel) -> int:
    """Returns the multiplications with additions that one example takes.

    They are those of convolutions and matrix products, as papers count them.
    """
    example = tf.TensorSpec((1, *model.example_shape), tf.float32)
    traced = tf.function(lambda x: model(x, training=False))
    # How many sizes of the kernel each output is a sum over.
    sums = {"Conv2D": 3, "DepthwiseConv2dNative": 2, "MatMul": 1}
    return sum(
        operation.outputs[0].shape.num_elements()
        * math.prod(operation.inputs[1].shape[: sums[operation.type]])
        for operation in traced.get_concrete_function(example).graph.get_operations()
        if operation.type in sums
    )


def check_examples(
    architecture: registry.Architecture,
    recipe: Recipe,
    input_shape: tuple[int, ...],
    num_classes: int | None,
) -> None:
    """Raises UserError unless the model and the recipe accept these examples."""
    ranks, least = architecture.model_class.example_ranks, architecture.min_side
    model, regression = architecture.name, num_classes is None
    counts = [*input_shape, 1 if regression else num_classes]
    if not all(isinstance(n, int) and n >= 1 for n in counts):
        raise UserError(
            "Sizes of examples and the number of classes must be whole numbers, 1 "
            f"or more. Received: input_shape={input_shape}, num_classes={num_classes}."
        )
    if len(input_shape) not in ranks or (regression and 1 not in ranks):
        raise UserError(
            f"Model {model!r} takes images (height, width, channels) with classes. "
            f"Received: examples of shape {input_shape}, {num_classes or 'no'} "
            "classes. Choose another --model or --dataset."
        )
    height, width = input_shape[:2] if len(input_shape) == 3 else (least, least)
    if min(height, width) < least:
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


def _compile(
    model: TapeModel,
    recipe: Recipe,
    input_shape: tuple[int, ...],
    steps: int | None,
    compile_options: dict[str, Any],
    pretrained: Sequence[keras.Variable],
) -> None:
    """Creates all variables of a model and its optimizer, and compiles the model.

    The ``pretrained`` weights are trained with the recipe's lower learning rate.
    """
    # Call the model, because build() alone would not reveal layers that do not fit.
    prediction = model(tf.zeros((1, *input_shape)))
    optimizer = optimizers.make_optimizer(recipe, steps)
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
