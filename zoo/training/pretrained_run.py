"""Weights that come with the zoo as a finished run: to predict, evaluate and export."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from zoo import files, pretrained, registry
from zoo.data import load
from zoo.data.dataset import Dataset, Split
from zoo.errors import RunError, UserError
from zoo.training import scoring
from zoo.training.outcome import TrainedRun
from zoo.training.rundir import RunDir


def open_weights(name: str, dataset: str | None = None) -> TrainedRun:
    """Returns the run that made the weights, with the model that they make.

    Args:
        name: MODEL/DATASET or MODEL/DATASET/RECIPE.
        dataset: what to test on, as for train.py; None for what they were trained on.

    Raises:
        UserError: there are no such weights, or the dataset has other classes.
        RunError: the dataset cannot be had.
    """
    info = pretrained.find(name)
    data = None
    if dataset is not None:
        data = read_dataset(info, dataset)
    return TrainedRun(
        RunDir(name),
        config=info.run["config"],
        result=info.run["result"],
        model=registry.create_model(info.model, weights=info.name),
        dataset=data,
    )


def read_dataset(info: pretrained.WeightsInfo, dataset: str) -> Dataset:
    """Reads a dataset as the weights want it.

    Raises:
        UserError: it has other classes or channels than what they were trained on.
        RunError: it cannot be had.
    """
    height, width, _ = info.input_shape
    source = load.open_dataset(dataset, default=dataset, data_dir=None)
    data = source.read(image_size=(height, width))
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


def sample(info: pretrained.WeightsInfo) -> Dataset:
    """Returns the images that come with the weights, as both splits of a dataset."""
    x, y = info.sample()
    split = Split(x, y.astype("int32"))
    data = info.run["config"]["data"] | {"num_train": len(y), "num_test": len(y)}
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
    }
    return Dataset(load.DataSpec(**fields), split, split)


def adopt(
    name: str, directory: str | os.PathLike[str], dataset: str | None = None
) -> TrainedRun:
    """Writes weights into a directory as the finished run that made them.

    What is exported from there is proved on ``dataset``, or else on the dataset that
    they were trained on; where that cannot be had, on the sample that comes with them.

    Args:
        name: as for ``open_weights``.
        directory: a new one, or one that these weights were written to before.
        dataset: as for ``open_weights``.

    Raises:
        UserError: the directory has something else in it, or the dataset other classes.
    """
    info, run = pretrained.find(name), RunDir(directory)
    if run.path.exists() and not _holds(run, info):
        raise UserError(
            f"--out must be a new directory, or one that {name} was written to before. "
            f"Received: {run.path}, which has something else."
        )
    data, tested_on = _tested_on(info, dataset)
    trained = TrainedRun(
        run, model=registry.create_model(info.model, weights=info.name), dataset=data
    )
    right = trained.outputs.argmax(axis=1) == data.test.y
    identity = info.run["config"]["identity"]
    config = dict(info.run["config"]) | {
        "identity": identity | {"dataset_fingerprint": data.spec.fingerprint},
        "dataset_used": data.spec.source,
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
    run.path.mkdir(parents=True, exist_ok=True)
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


def _tested_on(
    info: pretrained.WeightsInfo, dataset: str | None
) -> tuple[Dataset, str]:
    """Returns what to prove exports on, and what it is."""
    name = info.dataset if dataset is None else dataset
    try:
        data = read_dataset(info, name)
    except RunError:
        if dataset is not None:
            raise
        data = sample(info)
        where = f"the {info.num_test:,} test images of {info.dataset}"
        rest = "the others are not on this machine"
        return data, f"{len(data.test.y)} of {where} ({rest})"
    if data.test.sha256() == info.test_sha256:
        return data, f"the whole test split of {info.dataset}"
    count = f"{len(data.test.y):,}"
    return data, f"{count} test images of {pathlib.Path(name).name}"
