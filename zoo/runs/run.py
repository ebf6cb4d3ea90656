"""A finished run with its model, dataset and outputs, each loaded only once."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from zoo import console, pretrained, registry
from zoo.data import load
from zoo.data.dataset import Dataset, DataSpec, Split
from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.records.rundir import RunDir, finished_run
from zoo.runs import scoring


class TrainedRun:
    """A finished run with its model, dataset and outputs.

    Missing arguments are loaded or computed when they are first needed.

    Args:
        run: the directory of a finished run.
        config: the content of config.json.
        result: the content of result.json.
        dataset: the dataset that it was trained on.
        model: the trained model, on one device and in float32.
        outputs: the outputs of the model for the whole test split.
        done_before: whether the run was finished before this process began.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        config: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        dataset: Dataset | None = None,
        model: TapeModel | None = None,
        outputs: np.ndarray | None = None,
        done_before: bool = False,
    ):
        self.run = run
        self.done_before = done_before
        # A given value takes the place of the cached property with its name.
        made: dict[str, Any] = {"config": config, "result": result}
        made |= {"dataset": dataset, "model": model, "outputs": outputs}
        vars(self).update((k, value) for k, value in made.items() if value is not None)

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return self.run.read_config()

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The content of result.json."""
        return self.run.read_result()

    @functools.cached_property
    def model(self) -> TapeModel:
        """The trained model, compiled."""
        return load_run(self.run.path)

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The dataset that the run was trained on."""
        return run_dataset(self.run)

    @functools.cached_property
    def outputs(self) -> np.ndarray:
        """float32 probabilities (n, classes), or y (n, 1), for the whole test split."""
        return scoring.outputs(self.model, self.dataset.test)


def open_run(run_dir: str | os.PathLike[str]) -> TrainedRun:
    """Opens a finished run; only checks that it is finished.

    Raises:
        UserError: there is no run in the directory, or it is not finished.
    """
    return TrainedRun(finished_run(run_dir))


def load_run(
    run_dir: str | os.PathLike[str],
    device_weights: str | os.PathLike[str] | None = None,
) -> TapeModel:
    """Returns the trained model of a finished run, compiled; see ``zoo.load_run``."""
    run = finished_run(run_dir)
    if not run.model.exists():
        raise UserError(f"{run.model} is missing.")
    registry.import_all()
    try:
        model = keras.models.load_model(run.model, safe_mode=True)
    except Exception as error:
        # Errors of the zip, HDF5 and JSON readers pass through Keras.
        raise UserError(
            f"{run.model} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if device_weights is not None:
        _take_over(model, device_weights)
    return model


def _take_over(model: TapeModel, path: str | os.PathLike[str]) -> None:
    """Copies weights from a device into the model."""
    from zoo.runs.artifact import checked_weights

    try:
        with np.load(path, allow_pickle=False) as file:
            weights = dict(file)
    except Exception as error:
        # Errors of the zip and header readers pass through NumPy; .npy gives no dict.
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"device_weights must be an .npz file of what the signature weights gave. "
            f"Received: {path} ({reason})."
        ) from None
    variables = dict(zip(model.parameter_names, model.trainable_weights, strict=True))
    weights = checked_weights(
        weights, {name: tuple(v.shape) for name, v in variables.items()}, model.name
    )
    for name, variable in variables.items():
        variable.assign(weights[name])


def run_dataset(run: RunDir) -> Dataset:
    """Loads the dataset that a run was trained on, with the same validation split.

    Raises:
        UserError: the dataset is gone or has changed.
        RunError: the dataset cannot be read.
    """
    config = run.read_config()
    if config.get("is_sample"):
        console.warn(f"The dataset of {run.path} is {config['tested_on']}.")
        return sample(pretrained.find(config["weights"]["name"]))
    identity, data_dir = config["identity"], config.get("data_dir")
    name = config["dataset_used"]
    dataset = load.find(name, data_dir).read(
        image_size=tuple(config.get("image_size") or ()) or None,
        num_examples=identity["settings"]["num_examples"],
        seed=identity["seed"],
        # Do not write into a directory that only the run names.
        read_only=data_dir is not None,
        skip_damaged=config.get("skip_damaged", False),
    )
    if dataset.spec.fingerprint != identity["dataset_fingerprint"]:
        raise UserError(
            f"{name} is not what {run.path} was trained on: its files have changed "
            "since. Train again, with --overwrite."
        )
    if identity.get("validation") is None:
        return dataset
    return dataset.hold_out(identity["validation"], identity["seed"])


def sample(info: pretrained.WeightsInfo) -> Dataset:
    """Returns the images that come with pretrained weights, as both splits."""
    x, y = info.sample()
    split = Split(x, y.astype(np.int32))
    data = info.run["config"]["data"] | {"num_train": len(y), "num_test": len(y)}
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
    }
    return Dataset(DataSpec(**fields), split, split)
