"""Refusals before a model is created, and warnings before it is trained."""

from __future__ import annotations

import json
import math

import tensorflow as tf

from zoo import console
from zoo.data import folder
from zoo.data.dataset import dimensions
from zoo.errors import UserError
from zoo.models import build
from zoo.models.base import TapeModel
from zoo.training.config import PHOTOGRAPHS
from zoo.training.job import Job

_MANY = 20_000_000  # with more weights than this, another model is a better choice
_TOO_MANY = 200_000_000
# Models for smaller inputs are small, so counting their weights would waste time.
_COUNTED_FROM = 2048


def check(job: Job) -> None:
    """Refuses a single class, and a model whose weights would fill the memory."""
    spec = job.dataset.spec
    if len(spec.class_names) == 1:
        raise UserError(
            f"There must be two or more classes. Received: one, "
            f"{spec.class_names[0]!r}, in {spec.source}. A directory of images has a "
            "folder for each class; pass the one above them."
        )
    build.check_examples(
        job.architecture, job.recipe, spec.input_shape, spec.num_classes
    )
    if math.prod(spec.input_shape) < _COUNTED_FROM:
        return
    model_class = job.architecture.model_class
    arguments = model_class.arguments_for(spec.input_shape, **job.recipe.model)
    with tf.Graph().as_default():  # it never runs, so its variables take no memory
        model = model_class(spec.num_classes, **arguments)
        model.build((None, *spec.input_shape))
    if model.count_params() > _TOO_MANY:
        raise UserError(
            f"{_size(job, model)}: too many. Pass --model={PHOTOGRAPHS}, which takes "
            "images of any size, or a smaller --image_size."
        )


def give(job: Job, model: TapeModel) -> None:
    """Prints advice about a training, but none about a finished run."""
    if job.run.finished or not job.placement.is_chief:
        return
    if model.count_params() > _MANY:
        console.warn(
            f"{_size(job, model)}. --model={PHOTOGRAPHS} needs far fewer, and suits "
            "photographs better."
        )
    if ignored := job.source.ignored:
        console.warn(
            f"Ignored in {job.source.directory}: {folder.kinds(ignored)}, such as "
            f"{ignored[0]}. Images are {', '.join(folder.EXTENSIONS)} files in the "
            "folder of their class."
        )
    if job.dataset.damaged:
        console.warn(f"Left out as damaged: {folder.listed(job.dataset.damaged)}.")
    config, plan = job.config, job.plan
    if job.weights and job.weights.published and config.shown != "none":
        pixels = dimensions(job.dataset.spec.input_shape[:2])
        print(
            f"Starts from {job.weights.name}, with images of {pixels} pixels. "
            "--image_size chooses another size, and --weights=none starts from "
            "nothing.",
            flush=True,
        )
    if job.weights and (others := _differing(job)):
        console.warn(
            f"The network is that of the weights, {job.weights.name}, and not that of "
            f"the recipe {config.recipe}: {'; '.join(others)}."
        )
    wanted = config.overrides.get("min_steps", job.original.min_steps)
    if plan.steps < wanted:
        console.warn(
            f"--epochs={plan.epochs} gives {plan.steps:,} steps of training. The "
            f"recipe {config.recipe} of {config.model} takes at least {wanted:,} and "
            "may learn little in fewer. Leave out --epochs to get longer epochs."
        )
    has_finetune = "finetune" in job.architecture.recipes
    if job.weights and config.recipe == "default" and has_finetune:
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
            f"For {plan.num_examples:,} training images the batch is {size[1]} "
            f"instead of {size[0]}{more}.",
            flush=True,
        )


def _differing(job: Job) -> list[str]:
    """Lists the arguments of the recipe's network that the weights' network has not."""
    assert job.given, "weights have a model"
    # JSON turns tuples into lists.
    given = json.loads(json.dumps(job.given.get_config()))
    asked = json.loads(json.dumps(dict(job.recipe.model)))
    return [
        f"{name} is {given.get(name)} instead of {value}"
        for name, value in asked.items()
        if given.get(name) != value
    ]


def _size(job: Job, model: TapeModel) -> str:
    height, width = job.dataset.spec.input_shape[:2]
    weights = f"{job.config.model} has {model.count_params():,} weights"
    return f"{weights} for images of {height}x{width} pixels"
