"""What the recipes of the zoo reach: zoo/results.csv, which `make results` writes."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from zoo import files

PATH = pathlib.Path(__file__).with_name("results.csv")
#: Files of an export, in the order of the table's columns.
ARTIFACTS = ("saved_model", "float32", "float16", "dynamic", "int8", "int16x8")


@dataclasses.dataclass(frozen=True)
class FileResult:
    """An exported file: bytes, accuracy on the test split, ms per image, one thread."""

    bytes: int
    accuracy: float
    ms: float


@dataclasses.dataclass(frozen=True)
class Result:
    """What one recipe of one model reached on one dataset, over some seeds.

    Attributes:
        model: name of the architecture.
        recipe: name of its recipe.
        dataset: short name of the dataset.
        settings: fingerprint of the recipe and the model.
        seeds: how many trainings.
        accuracy: mean accuracy of the final weights on the test split.
        lowest: accuracy of the worst training.
        highest: accuracy of the best one.
        parameters: of the model.
        seconds: time of the first seed's training.
        cpus: that it had.
        artifacts: of the first seed's export, by name.
        tensorflow: version.
        keras: version.
        date: of the last of the trainings, ISO 8601.
    """

    model: str
    recipe: str
    dataset: str
    settings: str
    seeds: int
    accuracy: float
    lowest: float
    highest: float
    parameters: int
    seconds: float
    cpus: int
    artifacts: dict[str, FileResult]
    tensorflow: str
    keras: str
    date: str


_OWN = [field for field in dataclasses.fields(Result) if field.name != "artifacts"]
_KINDS = {"str": str, "int": int, "float": float}


def fingerprint(settings: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Returns a short name of what is trained, and how, other than that of any other.

    Args:
        settings: of the recipe.
        model: the model's ``get_config()``.
    """
    text = json.dumps([settings, model], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load(path: pathlib.Path | None = None) -> list[Result]:
    """Reads the table; none where there is no file yet."""
    path = path or PATH
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_from_row(row) for row in csv.DictReader(file)]


def save(results: list[Result], path: pathlib.Path | None = None) -> None:
    """Writes the table."""
    files.write_csv(path or PATH, [_to_row(result) for result in results])


def _to_row(result: Result) -> dict[str, object]:
    row = dataclasses.asdict(result)
    artifacts = row.pop("artifacts")
    for name in ARTIFACTS:
        for column in ("bytes", "accuracy", "ms"):
            row[f"{name}_{column}"] = artifacts.get(name, {}).get(column, "")
    return row


def _from_row(row: dict[str, str]) -> Result:
    own = {field.name: _KINDS[field.type](row[field.name]) for field in _OWN}
    artifacts = {
        name: FileResult(
            bytes=int(row[f"{name}_bytes"]),
            accuracy=float(row[f"{name}_accuracy"]),
            ms=float(row[f"{name}_ms"]),
        )
        for name in ARTIFACTS
        if row[f"{name}_bytes"]
    }
    return Result(**own, artifacts=artifacts)
