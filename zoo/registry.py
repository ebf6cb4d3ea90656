"""Which architectures and recipes there are.

An architecture is one file in ``zoo/models``. Its name and those of its recipes
are read from the file's text, so that a name can be checked in milliseconds; the
file is imported, and TensorFlow with it, when the architecture is used.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zoo import startup
from zoo.errors import unknown
from zoo.recipe import Recipe

if TYPE_CHECKING:
    from zoo.models.base import TapeModel


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A registered model class with its recipes."""

    name: str
    model_class: type[TapeModel]
    recipes: Mapping[str, Recipe]


@dataclasses.dataclass(frozen=True)
class _Declaration:
    module: str
    recipes: tuple[str, ...]


_ARCHITECTURES: dict[str, Architecture] = {}


def register(
    name: str, *, recipes: Mapping[str, Recipe]
) -> Callable[[type[TapeModel]], type[TapeModel]]:
    """Adds a TapeModel subclass to the zoo, and to what Keras can load.

    Args:
        name: the ``--model`` name.
        recipes: at least ``default``, by name.

    Raises:
        ValueError: the name is taken, or there is no default recipe.
    """
    import keras

    def add(model_class: type[TapeModel]) -> type[TapeModel]:
        if name in _ARCHITECTURES:
            raise ValueError(
                f"Model {name!r} is registered twice: by "
                f"{_ARCHITECTURES[name].model_class.__module__} and by "
                f"{model_class.__module__}."
            )
        if "default" not in recipes:
            raise ValueError(
                f"Model {name!r} needs a recipe named 'default'. "
                f"Received: {', '.join(recipes)}."
            )
        _ARCHITECTURES[name] = Architecture(name, model_class, dict(recipes))
        return keras.saving.register_keras_serializable(package="zoo")(model_class)

    return add


def list_models() -> list[str]:
    """Returns the names of all architectures, sorted."""
    return sorted({*_declarations(), *_ARCHITECTURES})


def list_recipes(model: str) -> list[str]:
    """Returns the names of an architecture's recipes, ``default`` first.

    Raises:
        UserError: there is no such model.
    """
    check_model(model)
    if model in _ARCHITECTURES:
        return list(_ARCHITECTURES[model].recipes)
    return list(_declarations()[model].recipes)


def check_model(model: str) -> None:
    """Raises UserError, with the list, unless the model is known."""
    if model not in list_models():
        raise unknown("model", model, list_models())


def check_recipe(model: str, recipe: str) -> None:
    """Raises UserError, with the list, unless the model has the recipe."""
    if recipe not in list_recipes(model):
        raise unknown(f"recipe of {model}", recipe, list_recipes(model))


def get_architecture(model: str) -> Architecture:
    """Imports an architecture's file and returns what it registered.

    Raises:
        UserError: there is no such model.
    """
    check_model(model)
    if model not in _ARCHITECTURES:
        startup.check_backend()
        importlib.import_module(_declarations()[model].module)
    return _ARCHITECTURES[model]


def get_recipe(model: str, recipe: str = "default") -> Recipe:
    """Returns a recipe of an architecture.

    Raises:
        UserError: there is no such model or recipe.
    """
    check_recipe(model, recipe)
    return get_architecture(model).recipes[recipe]


def import_all() -> None:
    """Imports all architectures, losses and optimizers, so that Keras can load them."""
    for module in ("losses", "optimizers"):
        importlib.import_module(f"zoo.models.{module}")
    for model in list_models():
        get_architecture(model)


@functools.cache
def _declarations() -> dict[str, _Declaration]:
    found = {}
    for path in sorted((pathlib.Path(__file__).parent / "models").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                for decorator in node.decorator_list:
                    if name := _registered_name(decorator):
                        module = f"zoo.models.{path.stem}"
                        found[name] = _Declaration(module, _recipe_names(path))
    return found


def _registered_name(decorator: ast.expr) -> str | None:
    match decorator:
        case ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=name)]):
            return name
    return None


def _recipe_names(path: pathlib.Path) -> tuple[str, ...]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="RECIPES")], value=ast.Dict(keys=keys)
            ):
                return tuple(ast.literal_eval(key) for key in keys)
    raise ValueError(f"{path.name} registers a model but has no RECIPES = {{...}}.")


def create_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    recipe: str | Recipe = "default",
    steps: int | None = None,
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
        **compile_options: passed on to ``compile``, as ``jit_compile=True``.

    Returns:
        The model with its weights made, ready for ``fit``.

    Raises:
        UserError: unknown names, or a model that cannot take such examples.
    """
    if isinstance(recipe, str):
        recipe = get_recipe(name, recipe)
    from zoo.models import build

    model_class = get_architecture(name).model_class
    return build.build_and_compile(
        name, model_class, recipe, input_shape, num_classes, steps, compile_options
    )
