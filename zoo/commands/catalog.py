"""The texts of `zoo list` and `zoo describe`."""

from __future__ import annotations

import inspect
from typing import Any

from zoo import registry
from zoo.console import align
from zoo.models import build
from zoo.recipe import Recipe
from zoo.records import results, weights

# The images and classes for which parameters are counted.
IMAGES: dict[str, Any] = {"input_shape": (28, 28, 1), "num_classes": 10}


def table() -> str:
    """Returns the tables of the architectures and of the pretrained weights."""
    measured = {
        row.model: row
        for row in results.load()
        if (row.recipe, row.dataset) == ("default", "mnist")
    }
    rows = [("model", "parameters", "MNIST accuracy", "int8 bytes", "input", "recipes")]
    for name in registry.list_models():
        model = build.create_model(name, **IMAGES)
        ranks = registry.get_architecture(name).model_class.example_ranks
        takes = "images, numbers" if 1 in ranks else "images"
        recipes = ", ".join(registry.list_recipes(name))
        accuracy = size = "-"
        if result := measured.get(name):
            accuracy = f"{result.accuracy:.2%}"
            if int8 := result.artifacts.get("int8"):
                size = f"{int8.bytes:,}"
        rows.append((name, f"{model.count_params():,}", accuracy, size, takes, recipes))
    notes = [
        "",
        "Parameters are for 28x28x1 images of 10 classes. The accuracy is that of the",
        "float model of the default recipe on MNIST's test split; int8 bytes is the",
        "size of its model_int8.tflite. - stands for what was not measured.",
    ]
    return "\n".join([*align(rows), *notes, *_weights()])


def _weights() -> list[str]:
    """Returns the table of the pretrained weights, if there are any."""
    rows = [
        (
            "pretrained weights",
            "float accuracy",
            "int8 accuracy",
            "parameters",
            "file bytes",
            "input",
        )
    ]
    for name in weights.list_weights():
        info = weights.weights_info(*name.split("/", 1))
        percents = (f"{info.accuracy:.2%}", f"{info.int8_accuracy:.2%}")
        shape = "x".join(map(str, info.input_shape))
        rows.append((name, *percents, f"{info.parameters:,}", f"{info.bytes:,}", shape))
    return ["", *align(rows)] if len(rows) > 1 else []


def description(name: str) -> str:
    """Returns the layers of an architecture with their shapes, and its recipes."""
    architecture = registry.get_architecture(name)
    shape = (None, *IMAGES["input_shape"])
    rows = [("layer", "output shape", "parameters")]
    for layer in build.create_model(name, **IMAGES).layers:
        shape = layer.compute_output_shape(shape)
        rows.append((layer.name, str(shape), f"{layer.count_params():,}"))
    recipes = [
        f"recipe {recipe_name}: {_changes(recipe)}"
        for recipe_name, recipe in architecture.recipes.items()
    ]
    head = f"{name}: {inspect.getdoc(architecture.model_class)}"
    return "\n".join([head, "", *align(rows), "", *recipes])


def _changes(recipe: Recipe) -> str:
    """Returns the main fields of a recipe and those that differ from the defaults."""
    main = ("optimizer", "learning_rate", "batch_size", "epochs")
    defaults = Recipe().to_json()
    fields = recipe.to_json() | {"batch_size": recipe.batch_size or "all"}
    return ", ".join(
        f"{name}={value}"
        for name, value in fields.items()
        if name in main or value != defaults.get(name)
    )
