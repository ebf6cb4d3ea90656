"""What export.json says: a record of each file, and of the export."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from zoo import files
from zoo.errors import UserError


@dataclasses.dataclass(frozen=True)
class Record:
    """An exported file. What was not measured is None, and export.json leaves it out.

    ``input`` and ``output`` are the fields of a ``zoo.runs.artifact.Tensor``.
    """

    name: str  # such as int8
    format: str  # the export format that wrote it
    path: str  # in the export directory
    bytes: int
    sha256: str  # zoo.files.checksum of the file or directory
    input: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    operations: list[str] | None = None  # empty for a SavedModel
    tensor_dtypes: list[str] | None = None  # likewise
    examples: int | None = None  # number of test examples that it was verified on
    latency_ms: dict[str, float] | None = None  # for one example: median, p95, threads
    max_abs_error: float | None = None  # largest difference from the Keras model
    accuracy: float | None = None  # 0 to 1
    accuracy_drop: float | None = None  # percentage points
    agreement: float | None = None  # share with the same class as from the Keras model
    details: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the format

    def to_json(self) -> dict[str, Any]:
        """Returns the record in the form of export.json."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A file that was asked for, but missed its bounds and is not there."""

    name: str  # such as int8
    format: str  # the export format that it belongs to
    path: str  # in the export directory, where it would be
    reason: str  # the bounds that it missed, and by how much

    def __str__(self) -> str:
        return f"{self.path} was left out: {self.reason}."


@dataclasses.dataclass(frozen=True)
class Export:
    """The content of export.json."""

    model: str  # name of the architecture
    model_sha256: str  # of the model.keras that was exported
    description: str  # a sentence about the architecture
    data: dict[str, Any]  # the description of the run's data in config.json
    tested_on: str  # the examples that the files were verified on, in words
    sample: str | None  # class of sample.png; None for a regression
    artifacts: list[Record]  # in the order of the formats
    left_out: list[LeftOut]  # likewise

    def to_json(self) -> dict[str, Any]:
        """Returns the content of export.json."""
        return vars(self) | {
            "artifacts": [each.to_json() for each in self.artifacts],
            "left_out": [vars(each) for each in self.left_out],
        }

    def write(self, directory: pathlib.Path) -> None:
        """Writes the export.json of an export directory."""
        files.write_json(directory / "export.json", self.to_json())


def read(directory: pathlib.Path) -> Export | None:
    """Reads the export.json of an export directory; None if there is none.

    Raises:
        UserError: it has been edited, or another version wrote it.
    """
    path = directory / "export.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["artifacts"] = [Record(**each) for each in content["artifacts"]]
        content["left_out"] = [LeftOut(**each) for each in content.get("left_out", [])]
        return Export(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be used: {error}. Delete it and export the run again."
        ) from None
