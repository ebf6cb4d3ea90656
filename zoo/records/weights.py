"""Finds pretrained weights: of the zoo, of ImageNet, of a run, or a .keras file.

The weights that come with the zoo are finished runs in zoo/weights. Each also has
sample.npz, 200 images of the test split, and in result.json the accuracy of its int8
file and the classes that the model predicts for the sample.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import os
import pathlib

import numpy as np

from zoo import files
from zoo.errors import UserError, unknown
from zoo.records import published
from zoo.records.published import Published
from zoo.records.rundir import RunDir, finished_run, run_of_model, runs_beside

DIRECTORY = pathlib.Path(__file__).parents[1] / "weights"


@dataclasses.dataclass(frozen=True)
class WeightsInfo:
    """Describes weights that come with the zoo.

    Attributes:
        name: MODEL/DATASET, or MODEL/DATASET/RECIPE for another recipe than default.
        path: the directory of their run.
        command: the command that trained them.
        accuracy: their accuracy on the whole test split, 0 to 1.
        int8_accuracy: that of the int8 TFLite file that was exported from them.
        parameters: number of weights, trainable or not.
        bytes: size of the file.
        input_shape: (height, width, channels) of one image.
        class_names: one name per class.
        license: the license of the dataset.
        citation: the citation of the dataset.
    """

    name: str
    path: pathlib.Path
    command: str
    accuracy: float
    int8_accuracy: float
    parameters: int
    bytes: int
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    license: str
    citation: str

    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns 200 images of the test split and their classes.

        The images are uint8 (200, height, width, channels), the classes int (200,).
        """
        return RunDir(self.path).read_sample()


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights that were found; their model has not been loaded.

    Attributes:
        name: MODEL/DATASET/RECIPE, or the path of a run or a file.
        path: the .keras file; None for published weights.
        input_shape: shape of the examples that they were trained on, if known.
        class_names: classes that they were trained on, if known.
        published: what is known of weights that others have published.
    """

    name: str
    path: pathlib.Path | None
    input_shape: tuple[int, ...] | None = None
    class_names: tuple[str, ...] | None = None
    published: Published | None = None

    @functools.cached_property
    def sha256(self) -> str | None:
        """The digest of the file; None for one that Keras keeps."""
        if self.path is None:
            return self.published.sha256 if self.published else None
        return files.sha256(self.path)


def stem(model: str, dataset: str, recipe: str) -> str:
    """Returns the name of the directory of weights that come with the zoo."""
    return "-".join([model, dataset] + [recipe] * (recipe != "default"))


def list_weights(pattern: str = "*") -> list[str]:
    """Returns the names MODEL/DATASET or MODEL/DATASET/RECIPE of all weights, sorted.

    They are those that come with the zoo, and published ones, such as
    ``efficientnet_lite/imagenet``.

    Args:
        pattern: selects names, such as ``resnet/*``.
    """
    outside = fnmatch.filter(published.PUBLISHED, pattern)
    return sorted([*list_shipped(pattern), *outside])


def list_shipped(pattern: str = "*") -> list[str]:
    """Returns the names of the weights that come with the zoo, sorted."""
    names = (_name(path.parent) for path in DIRECTORY.glob("*/config.json"))
    return sorted(fnmatch.filter(names, pattern))


def run_of(name: str) -> RunDir | None:
    """Returns the run MODEL/DATASET or MODEL/DATASET/RECIPE of the zoo's weights.

    MODEL/DATASET alone names the weights of the default recipe, or the only ones for
    that dataset. Returns None if there are no such weights.
    """
    names = list_shipped() if "/" in name else []
    found = [n for n in names if n == name] or [
        n for n in names if n.rpartition("/")[0] == name
    ]
    if len(found) != 1:
        return None
    return RunDir(DIRECTORY / found[0].replace("/", "-"))


def weights_info(model: str, weights: str) -> WeightsInfo | Published:
    """Describes weights that come with the zoo, or that others have published.

    Args:
        model: the architecture.
        weights: DATASET/RECIPE, or MODEL/DATASET/RECIPE. DATASET alone names the
            weights of the default recipe, or the only weights for that dataset.

    Raises:
        UserError: there are no such weights, or their records are damaged.
    """
    if known := published.find(model, weights):
        return known
    run = run_of(f"{model}/{weights.removeprefix(f'{model}/')}")
    if run is None:
        raise _unknown(model, weights)
    config, result = run.read_config(), run.read_result()
    return WeightsInfo(
        name=_name(run.path),
        path=run.path,
        command=result["command"],
        accuracy=result["test"]["accuracy"],
        int8_accuracy=result["int8_accuracy"],
        parameters=result["num_params"],
        bytes=run.model.stat().st_size,
        input_shape=tuple(config["data"]["input_shape"]),
        class_names=tuple(config["data"]["class_names"]),
        license=config["data"]["license"],
        citation=config["data"]["citation"],
    )


def find(
    model: str, weights: str | os.PathLike[str], recipe: str = "default"
) -> Weights:
    """Finds weights for an architecture, without loading them.

    Names of the zoo's weights take precedence over directories of the same name.

    Args:
        model: the architecture.
        weights: DATASET or DATASET/RECIPE of ``list_weights()``, a run directory, or a
            .keras file.
        recipe: the recipe whose network published weights are for, unless ``weights``
            names one.

    Raises:
        UserError: there are no such weights.
    """
    given = os.fspath(weights)
    if known := published.find(model, given, recipe):
        return Weights(
            known.name, None, known.input_shape, known.class_names, published=known
        )
    run = run_of(f"{model}/{given.removeprefix(f'{model}/')}")
    if run is not None:
        return _of_run(run, _name(run.path))
    path = files.expanduser(given)
    if path.suffix == ".keras":
        if run := run_of_model(path):
            return _of_run(run, given)
        if not files.exists(path):
            raise UserError(f"{path} is missing.")
        return Weights(given, path)
    if given.startswith((".", "/", "~")) or (given and files.exists(path)):
        return _of_run(finished_run(path), given)
    raise _unknown(model, given)


def _name(path: pathlib.Path) -> str:
    """Returns the name of weights of the zoo from the directory of their run."""
    return path.name.replace("-", "/")


def _of_run(run: RunDir, name: str) -> Weights:
    if not files.exists(run.model):
        raise UserError(f"{run.model} is missing.")
    data = run.read_config()["data"]
    shape, classes = tuple(data["input_shape"]), tuple(data["class_names"])
    return Weights(name, run.model, shape, classes)


def _unknown(model: str, weights: str) -> UserError:
    names = [name.partition("/")[2] for name in list_weights(f"{model}/*")]
    return unknown(f"weights of {model}", weights, [*names, *runs_beside(weights)])
