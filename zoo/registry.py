"""The registry of architectures and recipes.

Every module of ``zoo/models`` that ``_SHARED`` does not list is an architecture of the
same name, so the names are known without importing TensorFlow. A module registers its
model class and its recipes when it is imported.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import importlib
import pathlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zoo import startup
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe
from zoo.records.weights import list_weights

if TYPE_CHECKING:
    from zoo.models.base import TapeModel

_MODELS = pathlib.Path(__file__).with_name("models")
# The modules of zoo/models that are not architectures.
_SHARED = {
    "__init__",
    "base",
    "build",
    "inverted",
    "layers",
    "losses",
    "optimizers",
    "state_dict",
    "transfer",
}


def _empty() -> Any:
    return dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A model class, and what the rest of the zoo has to know about it.

    Attributes:
        name: name in ``--model``, which is also the name of the file.
        model_class: class of the network.
        recipes: recipes by name, including ``default``.
        example_shape: shape of an example that the network accepts. Lists and tests
            create it for such examples.
        min_side: smallest height and width, in pixels, of the images that it accepts.
        default_dataset: dataset to train on if the user names none. None means that the
            user has to name one.
        device_freeze: the stage from which ``tflite_trainable`` learns, such as
            ``head``. The stages before it may then have operations that have no
            gradients in ``export/ondevice/gradients.py``. None: it learns all stages.
        tflite_files: the TFLite files to export if the user names none, such as
            ``("float32", "int8")``. None means all.
        bounds: how far exported files may differ from the Keras model, by recipe, name
            of the file and field of ``export.formats.Bound``, where that differs from
            the usual bound: ``{"photos": {"dynamic": {"accuracy_drop": 0.2}}}``.
        weights: weights that others have published, by name, such as ``imagenet``:
            functions ``load(side, **arguments)`` that return a built model, where
            ``side`` is the height and width of the images that it will see, if they
            are known, and ``arguments`` are those of the constructor. Commands take
            those of ``zoo/records/published.py``, which says what is known of them.
    """

    name: str
    model_class: type[TapeModel]
    recipes: Mapping[str, Recipe]
    _: dataclasses.KW_ONLY
    example_shape: tuple[int, ...] = (28, 28, 1)
    min_side: int = 1
    default_dataset: str | None = "mnist"
    device_freeze: str | None = None
    tflite_files: tuple[str, ...] | None = None
    bounds: Mapping[str, Mapping[str, Mapping[str, Any]]] = _empty()
    weights: Mapping[str, Callable[..., TapeModel]] = _empty()


_ARCHITECTURES: dict[str, Architecture] = {}


def register(
    name: str,
    model_class: type[TapeModel],
    recipes: Mapping[str, Recipe],
    **about: Any,
) -> None:
    """Adds an architecture to the zoo, and to the classes that Keras can load.

    Args:
        name: name in ``--model``, which is also the name of the file.
        model_class: class of the network.
        recipes: recipes by name, including ``default``.
        **about: other attributes of ``Architecture``, such as ``min_side=32``.

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
    _ARCHITECTURES[name] = Architecture(name, model_class, dict(recipes), **about)


def list_models(pattern: str = "*", *, weights: bool = False) -> list[str]:
    """Returns the names of all architectures, sorted.

    Args:
        pattern: pattern of the names, such as ``res*``.
        weights: whether to return only architectures with pretrained weights.
    """
    files = {path.stem for path in _MODELS.glob("*.py")} - _SHARED
    names = files | set(_ARCHITECTURES)
    if weights:
        names &= {name.partition("/")[0] for name in list_weights()}
    return sorted(fnmatch.filter(names, pattern))


def list_recipes(model: str) -> list[str]:
    """Returns the names of an architecture's recipes, ``default`` first.

    Raises:
        UserError: there is no such model.
    """
    return list(get_architecture(model).recipes)


def check_model(model: str) -> None:
    """Raises UserError with the list of models unless the model is known."""
    known = list_models()
    if model not in known:
        raise unknown("model", model, known)


def get_architecture(model: str) -> Architecture:
    """Imports an architecture's file and returns what it registered."""
    if model not in _ARCHITECTURES:
        check_model(model)
        _import(model)
    return _ARCHITECTURES[model]


def _import(model: str) -> None:
    startup.import_keras()
    importlib.import_module(f"zoo.models.{model}")
    if model not in _ARCHITECTURES:
        raise ValueError(
            f"zoo/models/{model}.py must register the model {model!r}: "
            f"register({model!r}, CLASS, RECIPES)."
        )


def get_recipe(model: str, recipe: str = "default") -> Recipe:
    """Returns a recipe of an architecture.

    Raises:
        UserError: there is no such model or recipe.
    """
    recipes = get_architecture(model).recipes
    if recipe not in recipes:
        raise unknown(f"recipe of {model}", recipe, recipes)
    return recipes[recipe]


def default_dataset(model: str) -> str:
    """Returns the dataset on which a model is trained if the user names none."""
    dataset = get_architecture(model).default_dataset
    if dataset is None:
        raise UserError(
            f"--dataset is missing: {model} has no default dataset. Received: none. "
            "Pass a folder with your images, or the name of a dataset."
        )
    return dataset


@functools.cache
def import_all() -> None:
    """Imports all architectures, losses and optimizers, so that Keras can load them."""
    importlib.import_module("zoo.models.build")
    for model in list_models():
        if model not in _ARCHITECTURES:
            _import(model)
