"""The registry of architectures and recipes.

Every module of ``zoo/models`` that ``_SHARED`` does not list is an architecture of the
same name, so the names are known without importing TensorFlow. A module registers its
model class and its recipes when it is imported.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo import pretrained, startup
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe

if TYPE_CHECKING:
    import keras

    from zoo.models.base import TapeModel

_MODELS = pathlib.Path(__file__).with_name("models")
# The modules of zoo/models that are not architectures.
_SHARED = {"__init__", "base", "build", "layers", "losses", "optimizers"}


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
        name: name in ``--model``, which is also the name of the file.
        model_class: class of the network.
        recipes: recipes by name, including ``default``.

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


def list_models(pattern: str = "*", *, weights: bool = False) -> list[str]:
    """Returns the names of all architectures, sorted.

    Args:
        pattern: pattern of the names, such as ``res*``.
        weights: whether to return only architectures with pretrained weights.
    """
    files = {path.stem for path in _MODELS.glob("*.py")} - _SHARED
    names = files | set(_ARCHITECTURES)
    if weights:
        names &= {name.partition("/")[0] for name in pretrained.list_weights()}
    return sorted(fnmatch.filter(names, pattern))


def list_recipes(model: str) -> list[str]:
    """Returns the names of an architecture's recipes, ``default`` first.

    Raises:
        UserError: there is no such model.
    """
    return list(get_architecture(model).recipes)


def check_model(model: str) -> None:
    """Raises UserError with the list of models unless the model is known."""
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
    importlib.import_module("zoo.models.build")
    for model in list_models():
        get_architecture(model)


def create_model(
    name: str,
    *,
    input_shape: tuple[int, ...] | None = None,
    num_classes: int | None = None,
    recipe: str | Recipe = "default",
    weights: str | os.PathLike[str] | None = None,
    new_head: bool = False,
    features: bool = False,
    freeze: str | None = None,
    steps: int | None = None,
    report_gradient_norm: bool = False,
    **compile_options: Any,
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
            run directory or a .keras file. The arguments of the architecture then come
            from the weights and not from the recipe.
        new_head: whether to make a new head even if the number of classes is the same.
        features: whether to return the network without its head and not compiled. Its
            output is float32 features (batch, n).
        freeze: name of a layer, such as ``head``. The layers before it are not trained.
        steps: number of steps of the whole training, for a learning-rate schedule; None
            keeps the learning rate constant.
        report_gradient_norm: whether to report the global gradient norm as a metric.
        **compile_options: passed on to ``compile``, such as ``jit_compile=True``.

    Returns:
        The model with its weights, ready for ``predict`` and ``fit``.

    Raises:
        UserError: a name is unknown, the model does not accept such examples, or the
            weights are damaged or do not fit.
    """
    check_model(name)
    startup.start_for_api()
    model_class = get_architecture(name).model_class
    recipe = get_recipe(name, recipe) if isinstance(recipe, str) else recipe
    options: dict[str, Any] = {"name": name, "freeze": freeze}
    options["report_gradient_norm"] = report_gradient_norm
    given: list[keras.Variable] = []  # the pretrained weights
    size = (input_shape, num_classes, features)
    if weights is None:
        model = _new_model(model_class, recipe, *size, options)
    else:
        options |= {"weights": weights, "recipe": recipe, "new_head": new_head}
        model, given = pretrained.create(model_class, *size, **options)
        input_shape = model.get_build_config()["input_shape"][1:]
    _build(model, recipe, input_shape, features, steps, compile_options, given)
    return model


def _new_model(
    model_class: type[TapeModel],
    recipe: Recipe,
    input_shape: tuple[int, ...] | None,
    num_classes: int | None,
    features: bool,
    options: dict[str, Any],
) -> TapeModel:
    """Returns a model with new weights; raises UserError unless it fits the data."""
    from zoo.models import build

    if input_shape is None:
        raise UserError("create_model needs input_shape, or weights. Received: none.")
    ranks = model_class.example_ranks
    classes = num_classes or 1 if features else num_classes
    build.check_examples(options["name"], ranks, recipe, input_shape, classes)
    return model_class(0 if features else num_classes, **options, **recipe.model)


def _build(
    model: TapeModel,
    recipe: Recipe,
    input_shape: Any,
    features: bool,
    *compiled_with: Any,
) -> None:
    """Creates the variables, and compiles the model unless it only has features."""
    from zoo.models import build

    if features:
        model.build((None, *input_shape))
    else:
        build.compile_model(model, recipe, input_shape, *compiled_with)
