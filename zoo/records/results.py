"""Reads the measured results of the recipes, which `make results` writes."""

from __future__ import annotations

import csv
import dataclasses
import pathlib

PATH = pathlib.Path(__file__).parents[1] / "results.csv"


@dataclasses.dataclass(frozen=True)
class FileResult:
    """An exported file: bytes, test accuracy, and ms per image on one thread."""

    bytes: int
    accuracy: float
    ms: float


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a recipe of a model on a dataset, over several seeds."""

    model: str
    recipe: str
    dataset: str  # its short name
    settings: str  # fingerprint of the recipe and the model
    seeds: int  # number of trainings
    accuracy: float  # mean test accuracy of the final weights
    lowest: float
    highest: float
    parameters: int
    seconds: float  # training time of the first seed
    cpus: int  # number of CPUs of the first seed's training
    artifacts: dict[str, FileResult]  # the files of the first seed's export by name
    tensorflow: str  # version
    keras: str  # version
    date: str  # date of the last training, ISO 8601


def load() -> list[Result]:
    """Reads the table; returns no rows if there is no file."""
    if not PATH.exists():
        return []
    with PATH.open(encoding="utf-8", newline="") as file:
        return [_from_row(row) for row in csv.DictReader(file)]


def _from_row(row: dict[str, str]) -> Result:
    kinds = {"str": str, "int": int, "float": float}
    own = {
        field.name: kinds[str(field.type)](row[field.name])
        for field in dataclasses.fields(Result)
        if field.name != "artifacts"
    }
    # Three columns for each file, such as int8_bytes.
    names = [key.removesuffix("_bytes") for key in row if key.endswith("_bytes")]
    artifacts = {
        name: FileResult(
            bytes=int(row[f"{name}_bytes"]),
            accuracy=float(row[f"{name}_accuracy"]),
            ms=float(row[f"{name}_ms"]),
        )
        for name in names
        if row[f"{name}_bytes"]
    }
    return Result(**own, artifacts=artifacts)
