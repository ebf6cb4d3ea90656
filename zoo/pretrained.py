"""Pretrained weights: those that come with the zoo, of a run, or of a .keras file.

The directory zoo/weights has NAME.weights.h5, NAME.json, which describes it, and
DATASET.npz, which has 200 images of the test split. `make weights` writes them.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo import files
from zoo.errors import UserError, unknown

if TYPE_CHECKING:
    import keras
    import numpy as np

    from zoo.models.base import TapeModel
    from zoo.recipe import Recipe

DIRECTORY = pathlib.Path(__file__).with_name("weights")
#: Version of the JSON files. It rises if older versions of the zoo cannot read them.
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class WeightsInfo:
    """Describes weights that come with the zoo.

    Attributes:
        model: the architecture.
        dataset: the short name of the dataset that they were trained on.
        recipe: the recipe of the training.
        seed: the seed of the training.
        precision: the precision of the training; the weights are used in float32.
        command: the command that trained them.
        accuracy: their accuracy on the whole test split.
        int8_accuracy: that of the int8 TFLite file that was exported from them.
        parameters: number of weights, trainable or not.
        dtype: type of the numbers in the file, ``float16`` or ``float32``.
        bytes: size of the file.
        sha256: digest of the file.
        input_shape: (height, width, channels) of one image.
        class_names: one name per class.
        num_train: number of training examples.
        num_test: number of test examples.
        test_sha256: of the test split, see ``zoo.data.dataset.Split.sha256``.
        sample_classes: the classes that the model predicts for DATASET.npz.
        license: the license of the dataset.
        citation: the citation of the dataset.
        versions: the versions of the packages of the training.
        date: the day on which the training began, ISO 8601.
        config: the arguments of the model's constructor.
        run: ``config``, ``result`` and ``metrics``: config.json, result.json and the
            rows of metrics.csv of the training, without paths of its machine.
    """

    model: str
    dataset: str
    recipe: str
    seed: int
    precision: str
    command: str
    accuracy: float
    int8_accuracy: float
    parameters: int
    dtype: str
    bytes: int
    sha256: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    test_sha256: str
    sample_classes: tuple[int, ...]
    license: str
    citation: str
    versions: Mapping[str, str]
    date: str
    config: Mapping[str, Any]
    run: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name, such as ``cifar10``, or ``cifar10/tiny`` for another recipe."""
        return join(self.dataset, self.recipe)

    @property
    def path(self) -> pathlib.Path:
        """The file of the weights."""
        return DIRECTORY / f"{stem(self.model, self.dataset, self.recipe)}.weights.h5"

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns 200 images of the test split and their classes.

        The images are uint8 (200, height, width, channels), the classes int (200,).
        """
        import numpy as np

        path = DIRECTORY / f"{self.dataset}.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return file["x"], file["y"]
        except Exception as error:  # whatever NumPy's zip and header readers raise
            raise _damaged(path, str(error)) from None


def join(dataset: str, recipe: str) -> str:
    """Returns the name of weights: DATASET, or DATASET/RECIPE."""
    return dataset if recipe == "default" else f"{dataset}/{recipe}"


def stem(model: str, dataset: str, recipe: str) -> str:
    """Returns the name that the files of weights begin with."""
    return "-".join([model, *join(dataset, recipe).split("/")])


def list_weights(pattern: str = "*") -> list[str]:
    """Returns the names MODEL/DATASET or MODEL/DATASET/RECIPE of all weights, sorted.

    Args:
        pattern: selects names, such as ``resnet/*``.
    """
    names = (path.stem.replace("-", "/") for path in DIRECTORY.glob("*.json"))
    return sorted(fnmatch.filter(names, pattern))


def weights_info(model: str, weights: str) -> WeightsInfo:
    """Describes weights that come with the zoo.

    Args:
        model: the architecture.
        weights: DATASET/RECIPE, or MODEL/DATASET/RECIPE. DATASET alone names the
            weights of the default recipe, or the only weights for that dataset.

    Raises:
        UserError: there are no such weights, or their description is damaged or was
            written by a newer version of the zoo.
    """
    weights = weights.removeprefix(f"{model}/")
    every = (name.partition("/") for name in list_weights())
    names = [name for architecture, _, name in every if architecture == model]
    found = [n for n in names if n == weights] or [
        n for n in names if n.partition("/")[0] == weights
    ]
    if len(found) != 1:
        # Importing zoo imports nothing that has to be installed.
        from zoo.records.rundir import runs_beside

        raise unknown(f"weights of {model}", weights, [*names, *runs_beside(weights)])
    path = DIRECTORY / f"{'-'.join([model, *found[0].split('/')])}.json"

    def check(content: dict[str, Any]) -> None:
        if content["format"] > FORMAT:
            raise UserError(
                f"{path} is of a newer version of the zoo, format {content['format']}; "
                f"this one reads up to {FORMAT}. Install the newer zoo."
            )
        fields = {field.name for field in dataclasses.fields(WeightsInfo)}
        if content.keys() != fields | {"format"}:
            raise ValueError("other fields than were written; install the zoo again")
        for name in ("input_shape", "class_names", "sample_classes"):
            content[name] = tuple(content[name])
        files.check_numbers(content, "accuracy", "int8_accuracy")
        for part in ("config", "result", "metrics"):
            content["run"][part]

    content = files.read_json(path, check)
    del content["format"]
    return WeightsInfo(**content)


def create(
    model_class: type[TapeModel],
    input_shape: tuple[int, ...] | None,
    num_classes: int | None,
    features: bool,
    *,
    name: str,
    weights: str | os.PathLike[str],
    recipe: Recipe,
    new_head: bool,
    **options: Any,
) -> tuple[TapeModel, list[keras.Variable]]:
    """Returns a model for given images and classes, and its pretrained weights.

    The model is not compiled. For another number of classes it gets a new head.

    Args:
        model_class: the architecture.
        input_shape: (height, width, channels); None for that of the weights.
        num_classes: None for that of the weights.
        features: make a network without a head.
        name: the name of the architecture.
        weights: DATASET or DATASET/RECIPE, a run directory, or a .keras file.
        recipe: the recipe that the model will be trained with.
        new_head: make a new head even for the same number of classes.
        **options: arguments of TapeModel, such as ``freeze``.

    Raises:
        UserError: there are no such weights, they are damaged, or they do not fit.
    """
    from zoo import registry
    from zoo.models import build

    given = _load(model_class, name, weights)
    input_shape = input_shape or tuple(given.get_build_config()["input_shape"][1:])
    classes = given.num_classes if num_classes is None else num_classes
    architecture = registry.get_architecture(name)
    build.check_examples(architecture, recipe, input_shape, classes)
    classes = 0 if features else classes
    config = given.get_config() | {"name": name, "num_classes": classes} | options
    model = model_class.from_config(config)
    model.build((None, *input_shape))
    new_head = new_head or classes != given.num_classes
    copied = _copy(given, model, but=f"{model.head_name}/" if new_head else None)
    if not copied and not features:
        raise UserError(
            f"{name} is only a head, so none of its weights can be kept for other "
            f"classes. Received: {weights}. Train it without --weights."
        )
    return model, copied


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where pretrained weights come from, and what they were trained on, if known."""

    name: str  # MODEL/DATASET/RECIPE, or the path of a run or a file
    sha256: str  # of the file
    input_shape: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None


def origin(model: str, weights: str | os.PathLike[str]) -> Origin:
    """Returns where weights come from, without loading them.

    Args:
        model: the architecture.
        weights: as for ``create``.

    Raises:
        UserError: there are no such weights.
    """
    if not is_path(weights):
        info = weights_info(model, str(weights))
        name = f"{model}/{info.name}"
        return Origin(name, info.sha256, info.input_shape, info.class_names)
    path = _file_of(weights)
    if not files.exists(path):
        raise UserError(f"{path} is missing.")
    try:
        found = Origin(str(weights), files.sha256(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    # Importing zoo imports nothing that has to be installed.
    from zoo.records.rundir import RunDir

    run = RunDir(path.parent)
    if path != run.model or not run.config.exists():  # a file that is in no run
        return found
    data = run.read_config()["data"]
    return dataclasses.replace(
        found,
        input_shape=tuple(data["input_shape"]),
        class_names=tuple(data["class_names"]),
    )


def _load(
    model_class: type[TapeModel], name: str, weights: str | os.PathLike[str]
) -> TapeModel:
    """Returns the model as it was trained."""
    if not is_path(weights):
        return _load_shipped(model_class, weights_info(name, str(weights)))
    model = load_file(_file_of(weights))
    if type(model) is not model_class:
        raise UserError(
            f"The weights are of another architecture. Received: {weights}, of "
            f"{model.name}; the model is {name}."
        )
    return model


def _copy(given: TapeModel, model: TapeModel, but: str | None) -> list[keras.Variable]:
    """Copies all weights except those whose paths begin with ``but``; returns them.

    For another number of channels, the kernel of the first convolution is summed over
    the channels and spread evenly over the new ones, as in timm.
    """
    shapes = [tuple(m.get_build_config()["input_shape"][1:]) for m in (given, model)]
    old, new = (shape[-1] for shape in shapes)
    copied = []
    values = {_path(given, weight): weight.numpy() for weight in given.weights}
    for weight in model.weights:
        path = _path(model, weight)
        if but and path.startswith(but):
            continue
        value = values[path]
        if value.ndim == 4 and value.shape[2] == old != new == weight.shape[2]:
            value = (value.sum(axis=2, keepdims=True) / new).repeat(new, axis=2)
        if value.shape != tuple(weight.shape):
            raise UserError(
                f"{model.name} has other weights for images of another size: {path} is "
                f"{value.shape} for {shapes[0]} and {tuple(weight.shape)} for "
                f"{shapes[1]}. Use images like those that the weights were trained on, "
                "or train without --weights."
            )
        weight.assign(value)
        copied.append(weight)
    return copied


def _path(model: TapeModel, weight: keras.Variable) -> str:
    return weight.path.removeprefix(f"{model.name}/")


def is_path(weights: str | os.PathLike[str]) -> bool:
    """Whether weights are a run directory or a file, not a name.

    Names of the zoo's weights take precedence over directories of the same name.
    """
    if not isinstance(weights, str):
        return True
    names = {name.partition("/")[2] for name in list_weights()}
    return (
        bool(weights)
        and weights not in names
        and (
            weights.endswith(".keras")
            or weights.startswith((".", "/", "~"))
            or files.exists(weights)
        )
    )


def _file_of(weights: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the .keras file: the path itself, or that of a finished run."""
    path = files.expanduser(weights)
    if path.suffix == ".keras":
        return path
    from zoo.records.rundir import finished_run

    return finished_run(path).model


def find(name: str) -> WeightsInfo:
    """Describes the weights MODEL/DATASET or MODEL/DATASET/RECIPE.

    Raises:
        UserError: as for ``weights_info``.
    """
    model, _, weights = name.partition("/")
    if not weights or model not in {each.partition("/")[0] for each in list_weights()}:
        raise unknown("weights", name, list_weights())
    return weights_info(model, weights)


def _load_shipped(model_class: type[TapeModel], info: WeightsInfo) -> TapeModel:
    if not info.path.exists():
        raise _damaged(info.path, "it is missing")
    if (found := files.sha256(info.path)) != info.sha256:
        reason = f"its sha256 is {found}, and {info.sha256} was written"
        raise _damaged(info.path, reason)
    model = model_class.from_config({**info.config, "name": info.model})
    model.build((None, *info.input_shape))
    try:
        model.load_weights(info.path)
    except Exception as error:  # whatever Keras and HDF5 raise
        raise _damaged(info.path, _one_line(error)) from error
    return model


def _one_line(error: Exception) -> str:
    """Returns an error's class and the beginning of its text, which Keras breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _damaged(path: pathlib.Path, reason: str) -> UserError:
    return UserError(f"{path} cannot be used: {reason}. Install the zoo again.")


def load_file(path: pathlib.Path) -> TapeModel:
    """Returns the model of a .keras file, compiled as it was saved.

    Every architecture must have been imported.

    Raises:
        UserError: it is missing or damaged.
    """
    import keras

    if not files.exists(path):
        raise UserError(f"{path} is missing.")
    try:
        return keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        # Keras raises whatever its zip, HDF5 and JSON readers raise.
        raise UserError(f"{path} cannot be loaded: {_one_line(error)}") from error
