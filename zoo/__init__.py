"""A small zoo of Keras models, trained and exported for servers, phones and browsers.

import zoo

zoo.list_models()
model = zoo.create_model("convnet", input_shape=(28, 28, 1), num_classes=10)
data = zoo.load_dataset("digits")
model.fit(data.train.x, data.train.y)
model = zoo.load_run("runs/convnet-digits")
classify = zoo.open("resnet/cifar10")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.data.load import load as load_dataset
    from zoo.models.build import create_model
    from zoo.records.weights import list_weights, weights_info
    from zoo.registry import get_recipe, list_models, list_recipes, register
    from zoo.runs.open import open, predict
    from zoo.runs.run import load_run

__all__ = [
    "create_model",
    "get_recipe",
    "list_models",
    "list_recipes",
    "list_weights",
    "load_dataset",
    "load_run",
    "open",
    "predict",
    "register",
    "weights_info",
]

# Importing zoo imports nothing else: each name is imported when it is first used, and
# TensorFlow is started for those that need it.
_PLACES = {
    "create_model": "zoo.models.build:create_model",
    "get_recipe": "zoo.registry:get_recipe",
    "list_models": "zoo.registry:list_models",
    "list_recipes": "zoo.registry:list_recipes",
    "list_weights": "zoo.records.weights:list_weights",
    "load_dataset": "zoo.data.load:load",
    "load_run": "zoo.runs.run:load_run",
    "open": "zoo.runs.open:open",
    "predict": "zoo.runs.open:predict",
    "register": "zoo.registry:register",
    "weights_info": "zoo.records.weights:weights_info",
}
_WITHOUT_TENSORFLOW = ("zoo.records.weights", "zoo.registry")


def __getattr__(name: str) -> Any:
    """Imports a name of ``__all__``."""
    if name not in _PLACES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    if module not in _WITHOUT_TENSORFLOW:
        importlib.import_module("zoo.startup").start_for_api()
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """Lists the names that ``__getattr__`` imports."""
    return [*globals(), *_PLACES]


# Keras 3.15 loads a .keras file only if its classes are registered, because it imports
# none of the modules that the file names, except its own. Importing zoo does not import
# Keras, so this hook registers the models as soon as something has imported Keras.
def _register_models(keras: Any) -> None:
    if keras.config.backend() == "tensorflow":
        importlib.import_module("zoo.registry").import_all()


try:
    import wrapt
except ModuleNotFoundError:
    pass  # TensorFlow needs the package too, and every command reports missing ones
else:
    wrapt.register_post_import_hook(_register_models, "keras")
