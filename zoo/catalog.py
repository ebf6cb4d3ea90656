"""The zoo as text: a table of all models, a page on one."""

from __future__ import annotations

import dataclasses
import inspect
import io

from zoo import registry, results
from zoo.console import align
from zoo.recipe import Recipe

# The examples that parameters are counted for.
IMAGES = {"input_shape": (28, 28, 1), "num_classes": 10}
NUMBERS = {"input_shape": (1,), "num_classes": None}


def table() -> str:
    """Returns one line per architecture: name, parameters, input, recipes."""
    measured = {
        row.model: row
        for row in results.load()
        if (row.recipe, row.dataset) == ("default", "mnist")
    }
    rows = [("model", "parameters", "MNIST", "int8 file", "input", "recipes")]
    for name in registry.list_models():
        model = registry.create_model(name, **IMAGES)
        ranks = registry.get_architecture(name).model_class.example_ranks
        takes = "images, numbers" if 1 in ranks else "images"
        recipes = ", ".join(registry.list_recipes(name))
        reached = _reached(measured.get(name))
        rows.append((name, f"{model.count_params():,}", *reached, takes, recipes))
    note = (
        "Parameters are for 28x28x1 images, 10 classes; MNIST is the test accuracy of "
        "the default recipe."
    )
    return "\n".join([*align(rows), "", note])


def _reached(result: results.Result | None) -> tuple[str, str]:
    """Returns accuracy and size of the int8 file, where they were measured."""
    if result is None:
        return "-", "-"
    int8 = result.artifacts.get("int8")
    return f"{result.accuracy:.2%}", f"{int8.bytes:,}" if int8 else "-"


def description(name: str) -> str:
    """Returns the layers with their shapes and the recipes of an architecture."""
    architecture = registry.get_architecture(name)
    model = registry.create_model(name, **IMAGES)
    text = io.StringIO()
    shape = (None, *IMAGES["input_shape"])
    rows = [("layer", "output shape", "parameters")]
    for layer in model.layers:
        shape = layer.compute_output_shape(shape)
        rows.append((layer.name, str(shape), f"{layer.count_params():,}"))
    print(f"{name}: {inspect.getdoc(architecture.model_class)}\n", file=text)
    print("\n".join(align(rows)), "\n", file=text)
    for recipe_name, recipe in architecture.recipes.items():
        print(f"recipe {recipe_name}: {_changes(recipe)}", file=text)
    return text.getvalue().rstrip()


def _changes(recipe: Recipe) -> str:
    """Returns the fields that a reader needs, without those that say nothing."""
    shown = []
    plain = recipe.to_json()
    for field in dataclasses.fields(recipe):
        value = plain[field.name]
        always = field.name in ("optimizer", "learning_rate", "batch_size", "epochs")
        if field.name == "batch_size" and value is None:
            value = "all"
        if always or value not in (field.default, {}, None):
            shown.append(f"{field.name}={value}")
    return ", ".join(shown)
