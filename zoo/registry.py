"""Which architectures and recipes there are.

Every module of ``zoo/models`` except ``base`` is an architecture of the same name, so
names are known without importing TensorFlow. What the module registers, its model
class and its recipes, is known once it has been imported.
"""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo import startup
from zoo.errors import unknown
from zoo.recipe import Recipe

if TYPE_CHECKING:
    from zoo.models.base import TapeModel

_MODELS = pathlib.Path(__file__).with_name("models")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A registered model class with its recipes."""

    name: str
    model_class: type[TapeModel]
    recipes: Mapping[str, Recipe]


_ARCHITECTURES: dict[str, Architecture] = {}


def register(
    name: str, model_class: type[TapeModel], recipes: Mapping[str, Recipe]
) -> None:
    """Adds an architecture to the zoo, and to the classes that Keras can load.

    Args:
        name: the ``--model`` name; that of the file.
        model_class: the network.
        recipes: at least ``default``, by name.

    Raises:
        ValueError: the name is taken, or there is no default recipe.
    """
    import keras

    if name in _ARCHITECTURES:
        raise ValueError(
            f"Model {name!r} is registered twice: as "
            f"{_ARCHITECTURES[name].model_class} and as {model_class}."
        )
    if "default" not in recipes:
        raise ValueError(
            f"Model {name!r} needs a recipe named 'default'. "
            f"Received: {', '.join(recipes)}."
        )
    keras.saving.register_keras_serializable(package="zoo")(model_class)
    _ARCHITECTURES[name] = Architecture(name, model_class, dict(recipes))


def list_models() -> list[str]:
    """Returns the names of all architectures, sorted."""
    files = {path.stem for path in _MODELS.glob("*.py")} - {"__init__", "base"}
    return sorted(files | set(_ARCHITECTURES))


def list_recipes(model: str) -> list[str]:
    """Returns the names of an architecture's recipes, ``default`` first.

    Raises:
        UserError: there is no such model.
    """
    return list(get_architecture(model).recipes)


def check_model(model: str) -> None:
    """Raises UserError, with the list, unless the model is known."""
    if model not in list_models():
        raise unknown("model", model, list_models())


def get_architecture(model: str) -> Architecture:
    """Imports an architecture's file and returns what it registered.

    Raises:
        UserError: there is no such model.
        ValueError: the file does not register its name.
    """
    check_model(model)
    if model not in _ARCHITECTURES:
        startup.import_keras()
        importlib.import_module(f"zoo.models.{model}")
    if model not in _ARCHITECTURES:
        raise ValueError(
            f"zoo/models/{model}.py must register the model {model!r}: "
            f"register({model!r}, CLASS, RECIPES)."
        )
    return _ARCHITECTURES[model]


def get_recipe(model: str, recipe: str = "default") -> Recipe:
    """Returns a recipe of an architecture.

    Raises:
        UserError: there is no such model or recipe.
    """
    recipes = get_architecture(model).recipes
    if recipe not in recipes:
        raise unknown(f"recipe of {model}", recipe, recipes)
    return recipes[recipe]


def import_all() -> None:
    """Imports all architectures, losses and optimizers, so that Keras can load them."""
    importlib.import_module("zoo.models.common.build")
    for model in list_models():
        get_architecture(model)


def create_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    recipe: str | Recipe = "default",
    steps: int | None = None,
    report_gradient_norm: bool = False,
    **compile_options: Any,
) -> TapeModel:
    """Builds and compiles a model as its recipe says.

    Args:
        name: a name of ``list_models()``.
        input_shape: shape of one example: (height, width, channels) of raw pixels
            0..255, or (1,) for linear regression.
        num_classes: number of classes; None for regression.
        recipe: a name of ``list_recipes(name)``, or a Recipe.
        steps: steps of the whole training, for a learning-rate schedule; None
            keeps the learning rate constant.
        report_gradient_norm: report the global norm of the gradients as a metric.
        **compile_options: passed on to ``compile``, such as ``jit_compile=True``.

    Returns:
        The model with its weights made, ready for ``fit``.

    Raises:
        UserError: unknown names, or a model that cannot take such examples.
    """
    check_model(name)
    startup.start_for_api()
    model_class = get_architecture(name).model_class
    if isinstance(recipe, str):
        recipe = get_recipe(name, recipe)
    from zoo.models.common import build

    ranks = model_class.example_ranks
    build.check_examples(name, ranks, recipe, input_shape, num_classes)
    model = model_class(
        num_classes,
        report_gradient_norm=report_gradient_norm,
        name=name,
        **recipe.model,
    )
    build.compile_model(model, recipe, input_shape, steps, compile_options)
    return model
