"""What the recipes of the zoo reach: zoo/results.csv, which `make results` writes."""

from __future__ import annotations

import csv
import dataclasses
import pathlib

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
    """What one recipe of one model reached on one dataset, over some seeds."""

    model: str
    recipe: str
    dataset: str  # its short name
    settings: str  # fingerprint of the recipe and the model
    seeds: int  # number of trainings
    accuracy: float  # of the final weights on the test split, the mean
    lowest: float
    highest: float
    parameters: int
    seconds: float  # that the training of the first seed took
    cpus: int  # that it had
    artifacts: dict[str, FileResult]  # of the first seed's export, by name
    tensorflow: str  # version
    keras: str  # version
    date: str  # of the last of the trainings, ISO 8601


def load() -> list[Result]:
    """Reads the table; none where there is no file yet."""
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
