"""model.fit on the pipeline of train.py, with several steps per call."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from benchmarks import data
from zoo import startup
from zoo.data.dataset import Split
from zoo.recipe import PHOTOGRAPHS, Recipe


def training(
    model_name: str, split: Split, recipe: Recipe
) -> tuple[Any, Callable[..., float]]:
    """Returns a model, and a function that trains an epoch and returns the seconds.

    The function takes a number of steps if it should train fewer, to compile them.
    """
    import zoo
    from zoo.data import pipeline

    plan = pipeline.make_plan(recipe, len(split.y))
    model = zoo.create_model(
        model_name,
        input_shape=split.x.shape[1:],
        num_classes=10,
        recipe=recipe,
        steps=plan.steps,
        steps_per_execution=min(recipe.steps_per_execution, plan.steps_per_epoch),
    )
    batches = pipeline.TrainingBatches(split, plan, recipe, seed=0)

    def work(steps: int | None = None) -> float:
        dataset = batches.take(steps) if steps else batches.dataset
        began = time.perf_counter()
        model.fit(dataset, shuffle=False, verbose=0)
        return time.perf_counter() - began

    return model, work


def prepare(model_name: str, steps: str, batch_size: str, variant: str = "plain"):
    """Returns a function that trains ``steps`` steps and returns the seconds.

    Args:
        model_name: name of the architecture.
        steps: steps per call of the function.
        batch_size: examples in a batch.
        variant: ``augmented``; ``plain``, without augmentation and dropout, which the
            peers do not have; or ``keras_optimizer``, plain with Keras's AdamW.
    """
    startup.start()
    import keras

    import zoo

    if on_mnist := model_name in data.ON_MNIST:
        recipe = zoo.get_recipe(model_name)
    else:
        recipe = dataclasses.replace(PHOTOGRAPHS, weight_decay=0.0, label_smoothing=0.0)
    recipe = recipe.override(
        epochs=1, steps_per_epoch=int(steps), batch_size=int(batch_size)
    )
    if variant != "augmented":
        layers = {"dropout": 0.0} if on_mnist else {}
        recipe = recipe.override(augment={}, model={**recipe.model, **layers})
    model, work = training(model_name, data.examples(model_name), recipe)
    if variant == "keras_optimizer":
        config = model.optimizer.get_config()
        optimizer = keras.optimizers.AdamW.from_config(config)
        optimizer.build(model.trainable_variables)
        model.optimizer = optimizer
    return work
