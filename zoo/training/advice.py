"""Warnings and refusals before a training starts."""

from __future__ import annotations

import math

import tensorflow as tf

from zoo import console, registry
from zoo.data import folder
from zoo.errors import UserError
from zoo.training.config import PHOTOGRAPHS
from zoo.training.job import Job

_MANY = 20_000_000  # with more weights than this, another model is a better choice
_TOO_MANY = 200_000_000
# Models for smaller inputs are small, so counting their weights would waste time.
_COUNTED_FROM = 2048


def give(job: Job) -> None:
    """Prints advice about a training, but none about a finished run.

    Raises:
        UserError: there is only one class, or the model would have far too many
            weights for such images.
    """
    if job.run.finished:
        return
    names = job.dataset.spec.class_names
    if len(names) == 1:
        raise UserError(
            f"There must be two or more classes. Received: one, {names[0]!r}, in "
            f"{job.dataset.spec.source}. A directory of images has a folder for each "
            "class; pass the one above them."
        )
    weights = count_weights(job)
    if weights > _TOO_MANY:
        raise UserError(
            f"{_weights(job, weights)}: too many. Pass --model={PHOTOGRAPHS}, which "
            "takes images of any size, or a smaller --image_size."
        )
    if not job.placement.is_chief:
        return
    if weights > _MANY:
        console.warn(
            f"{_weights(job, weights)}. --model={PHOTOGRAPHS} needs far fewer, and "
            "suits photographs better."
        )
    for caution in filter(None, [_ignored(job), _damaged(job), _few_steps(job)]):
        console.warn(caution)
    recipes = registry.list_recipes(job.config.model)
    if job.weights and job.config.recipe == "default" and "finetune" in recipes:
        print(
            "--recipe=finetune suits pretrained weights better than the default "
            "recipe: it trains for fewer epochs, with lower learning rates.",
            flush=True,
        )
    if changes := job.fitted():
        size, rate = changes["batch_size"], changes.get("learning_rate")
        more = (
            f" and the learning rate {rate[1]:g} instead of {rate[0]:g}" if rate else ""
        )
        print(
            f"For {job.plan.num_examples:,} training images the batch is {size[1]} "
            f"instead of {size[0]}{more}.",
            flush=True,
        )


def count_weights(job: Job) -> int:
    """Returns the number of weights, without creating them; 0 for a small model.

    Variables in a graph that never runs take no memory.
    """
    shape = job.dataset.spec.input_shape
    if job.config.model == PHOTOGRAPHS or math.prod(shape) < _COUNTED_FROM:
        return 0
    model_class = registry.get_architecture(job.config.model).model_class
    with tf.Graph().as_default():
        model = model_class(job.dataset.spec.num_classes, **job.recipe.model)
        model(tf.zeros((1, *shape)))
        return model.count_params()


def _weights(job: Job, count: int) -> str:
    height, width = job.dataset.spec.input_shape[:2]
    images = f"images of {height}x{width} pixels"
    return f"{job.config.model} has {count:,} weights for {images}"


def _ignored(job: Job) -> str | None:
    ignored = job.source.ignored
    if not ignored:
        return None
    return (
        f"Ignored in {job.source.directory}: {folder.kinds(ignored)}, such as "
        f"{ignored[0]}. Images are {', '.join(folder.EXTENSIONS)} files in the folder "
        "of their class."
    )


def _damaged(job: Job) -> str | None:
    damaged = job.dataset.damaged
    if not damaged:
        return None
    return f"Left out as damaged: {folder.listed(damaged)}."


def _few_steps(job: Job) -> str | None:
    recipe = registry.get_recipe(job.config.model, job.config.recipe)
    wanted = job.config.overrides.get("min_steps", recipe.min_steps)
    plan = job.plan
    if plan.steps >= wanted:
        return None
    return (
        f"--epochs={plan.epochs} gives {plan.steps:,} steps of training. The recipe "
        f"{job.config.recipe} of {job.config.model} takes at least {wanted:,} and may "
        "learn little in fewer. Leave out --epochs to get longer epochs."
    )
