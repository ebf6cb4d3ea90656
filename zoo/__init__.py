"""A small zoo of Keras models, trained and exported for servers, phones and browsers.

import zoo

zoo.list_models()
model = zoo.create_model("convnet", input_shape=(28, 28, 1), num_classes=10)
data = zoo.load_dataset("digits")
model.fit(data.train.x, data.train.y)
model = zoo.load_run("runs/convnet-digits")
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zoo import startup
from zoo.errors import unknown
from zoo.pretrained import list_weights, weights_info
from zoo.registry import (
    create_model,
    get_recipe,
    import_all,
    list_models,
    list_recipes,
    register,
)

if TYPE_CHECKING:
    from zoo.data.dataset import Dataset
    from zoo.models.base import TapeModel

__all__ = [
    "create_model",
    "get_recipe",
    "list_models",
    "list_recipes",
    "list_weights",
    "load_dataset",
    "load_run",
    "predict",
    "register",
    "weights_info",
]


def load_dataset(name: str, *, data_dir: str | None = None, **options: Any) -> Dataset:
    """Returns a dataset with ``.spec``, ``.train.x``, ``.train.y`` and ``.test``.

    Args:
        name: a TFDS name, ``digits``, ``linear_regression`` or a directory.
        data_dir: directory of prepared datasets; None for TFDS's default.
        **options: options of ``zoo.data.load.load``, such as ``image_size=(32, 32)``.

    Raises:
        UserError: the name is unknown, or the files are not a dataset.
        RunError: the dataset is not on this machine and cannot be downloaded.
    """
    startup.start_for_api()
    from zoo.data import load

    return load.load(name, data_dir=data_dir, **options)


def predict(
    source: str | os.PathLike[str],
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[tuple[str, str, float]]:
    """Classifies image files of any size.

    Args:
        source: pretrained weights, such as ``mlp/mnist``, a run directory, or an
            exported file.
        paths: paths of PNG, JPEG, BMP, GIF or WebP files, or a single path.

    Returns:
        (path, class name, probability) for each file.

    Raises:
        UserError: ``source`` does not exist, or a file cannot be read.
    """
    startup.start_for_api()
    from zoo.records.rundir import runs_beside
    from zoo.runs import predict as evaluation

    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    given, names = os.fspath(source), [os.fspath(path) for path in paths]
    exists = os.path.exists(given)  # noqa: PTH110 (pathlib raises for names too long)
    if given in list_weights() or (not exists and list_weights(f"{given}*")):
        return evaluation.predict_images(None, None, names, weights=given)
    if not exists and not given.endswith(".tflite"):
        known = [*list_weights(), *runs_beside(given)]
        raise unknown("weights, run or exported file", given, known)
    if (pathlib.Path(given) / "config.json").is_file():
        return evaluation.predict_images(given, None, names)
    return evaluation.predict_images(None, given, names)


def load_run(
    run_dir: str | os.PathLike[str],
    device_weights: str | os.PathLike[str] | None = None,
) -> TapeModel:
    """Returns the trained model of a finished run.

    Args:
        run_dir: the directory of the run.
        device_weights: an .npz file with the weights that ``model_trainable.tflite``
            has learned on a device: the outputs of its signature ``weights``, by name.

    Raises:
        UserError: the directory is not a run, the run is not finished, its model.keras
            is damaged, or the weights belong to another model.
    """
    startup.start_for_api()
    from zoo.runs import run as outcome

    return outcome.load_run(run_dir, device_weights)


# Keras 3.15 loads a .keras file only if its classes are registered, because it imports
# none of the modules that the file names, except its own. Importing zoo does not import
# Keras, so this hook registers the models as soon as something has imported Keras.
def _register_models(keras: Any) -> None:
    if keras.config.backend() == "tensorflow":
        import_all()


try:
    import wrapt
except ModuleNotFoundError:
    pass  # TensorFlow needs the package too, and every command reports missing ones
else:
    wrapt.register_post_import_hook(_register_models, "keras")
