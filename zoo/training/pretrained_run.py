"""Treats weights that come with the zoo as a finished run."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from zoo import console, files, pretrained, registry
from zoo.data import load
from zoo.data.dataset import Dataset
from zoo.errors import RunError, UserError
from zoo.records.rundir import RunDir
from zoo.runs import scoring
from zoo.runs.run import TrainedRun, sample


def open_weights(name: str) -> TrainedRun:
    """Returns the run that produced the weights, with their model.

    Args:
        name: MODEL/DATASET or MODEL/DATASET/RECIPE.

    Raises:
        UserError: there are no such weights.
    """
    info = pretrained.find(name)
    return TrainedRun(
        RunDir(name),
        config=info.run["config"],
        result=info.run["result"],
        model=registry.create_model(info.model, weights=info.name),
    )


def read_dataset(info: pretrained.WeightsInfo, dataset: str) -> Dataset:
    """Reads a dataset in the image size of the weights.

    Raises:
        UserError: its classes or channels differ from those of the weights.
        RunError: it is not on this machine and cannot be downloaded.
    """
    height, width, _ = info.input_shape
    data = load.load(dataset, image_size=(height, width))
    found = (data.spec.input_shape, data.spec.class_names)
    if found != (info.input_shape, info.class_names):
        raise UserError(
            f"The weights {info.model}/{info.name} are for other images or classes. "
            f"Received: {dataset}, images {_shape(found[0])} of "
            f"{', '.join(found[1]) or 'no classes'}. Allowed: "
            f"{_shape(info.input_shape)} of {', '.join(info.class_names)}."
        )
    return data


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def adopt(
    name: str, directory: str | os.PathLike[str], dataset: str | None = None
) -> TrainedRun:
    """Writes weights into a directory, as the finished run that produced them.

    Exports of that run are verified on the test split of ``evaluation_data``.

    Args:
        name: same as for ``open_weights``.
        directory: a new directory, or one that these weights were written to before.
        dataset: same as for ``evaluation_data``.

    Raises:
        UserError: the directory has other content, or the dataset has other classes.
    """
    info, run = pretrained.find(name), RunDir(directory)
    if run.path.is_dir() and not _holds(run, info):
        raise UserError(
            f"--out must be a new directory, or one that {name} was written to before. "
            f"Received: {run.path}, which has other content."
        )
    try:
        run.check_usable()
    except (RunError, UserError) as error:
        raise type(error)(str(error).replace("--run_dir", "--out")) from None
    data, tested_on = evaluation_data(info, dataset)
    is_directory = pathlib.Path(data.spec.source).is_absolute()
    trained = TrainedRun(
        run, model=registry.create_model(info.model, weights=info.name), dataset=data
    )
    right = trained.outputs.argmax(axis=1) == data.test.y
    identity = info.run["config"]["identity"]
    config = dict(info.run["config"]) | {
        "identity": identity | {"dataset_fingerprint": data.spec.fingerprint},
        "dataset_used": data.spec.source if is_directory else dataset or info.dataset,
        "image_size": list(info.input_shape[:2]),
        "data": dataclasses.asdict(data.spec),
        "weights": {"name": name, "sha256": info.sha256},
        "tested_on": tested_on,
        "is_sample": data.train is data.test,
    }
    result = dict(info.run["result"]) | {
        "test": {"accuracy": float(right.mean())},
        "num_test_examples": len(data.test.y),
        "published_accuracy": info.accuracy,
        **scoring.per_class(info.class_names, data.test.y, trained.outputs),
    }
    with run.locked():
        files.write_json(run.config, config)
        files.write_csv(run.metrics, info.run["metrics"])
        with files.replacing(run.model) as beside:
            trained.model.save(beside)
        files.write_json(run.result, result)
    return trained


def _holds(run: RunDir, info: pretrained.WeightsInfo) -> bool:
    if not any(run.path.iterdir()):
        return True
    if not run.config.exists():
        return False
    weights: dict[str, Any] = run.read_config().get("weights") or {}
    return weights.get("sha256") == info.sha256


def evaluation_data(
    info: pretrained.WeightsInfo, dataset: str | None = None
) -> tuple[Dataset, str]:
    """Returns the dataset to test weights on, and a description of its test split.

    Args:
        info: description of the weights.
        dataset: a dataset as train.py takes it. None means the dataset that the weights
            were trained on. If that is not on this machine, the sample that comes with
            the weights is used, with a warning.

    Raises:
        UserError: the classes of the dataset differ from those of the weights.
        RunError: ``dataset`` is not on this machine and cannot be downloaded.
    """
    try:
        data = read_dataset(info, info.dataset if dataset is None else dataset)
    except RunError as error:
        if dataset is not None:
            raise
        data = sample(info)
        count = f"{len(data.test.y)} of the {info.num_test:,} test images"
        console.warn(
            f"{error} Until then, the weights are tested on {count}, which come with "
            "the zoo."
        )
        return data, f"{count} of {info.dataset} (the others are not on this machine)"
    if data.test.sha256() == info.test_sha256:
        return data, f"the whole test split of {info.dataset}"
    name = info.dataset if dataset is None else pathlib.Path(dataset).name
    return data, f"{len(data.test.y):,} test images of {name}"
