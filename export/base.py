"""The base class of export formats, and the files and bounds of a format."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.runs.run import TrainedRun


@dataclasses.dataclass(frozen=True)
class Bound:
    """How far a file may differ from the Keras model. None disables a bound.

    Attributes:
        max_abs_error: largest difference of any probability, or of y.
        same_top1: every example must get the same class, except for ties within
            ``max_abs_error``.
        accuracy_drop: percentage points of test accuracy that may be lost. If the test
            split is too small to resolve that, one example may be lost.
    """

    max_abs_error: float | None = None
    same_top1: bool = False
    accuracy_drop: float | None = None


EXACT = Bound(max_abs_error=1e-4, same_top1=True)


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that a format writes.

    Attributes:
        name: name in export.json.
        path: path in the export directory; a SavedModel is a directory itself.
        purpose: purpose of the file for the model card.
        bound: bounds for a classifier.
        regression: bounds for a regression; None if a regression has no such file.
        integer: whether input and output are uint8, without any float tensor.
        threads: whether to verify the file with several threads as well as with one.
        parallel: whether the kernels of the file use these threads.
        examples: number of test examples to verify the file on; None for all of them.
    """

    name: str
    path: str
    purpose: str
    bound: Bound
    regression: Bound | None = None
    integer: bool = False
    threads: bool = True
    parallel: bool = True
    examples: int | None = None


@dataclasses.dataclass
class Draft:
    """An export that is being written.

    Attributes:
        trained: the run. Every file is compared with its outputs.
        directory: temporary directory of the files.
        train_batch: batch size of a training step of ``tflite_trainable``.
        device_optimizer: optimizer that ``tflite_trainable`` uses on the device.
        tflite_files: names of the files that ``tflite`` writes; None for all.
        records: the files' records for export.json.
        left_out: names of the files that are not written, each with the reason.
        page: the record of the web page.
    """

    trained: TrainedRun
    directory: pathlib.Path
    train_batch: int = 16
    device_optimizer: str = "sgd"
    tflite_files: Sequence[str] | None = None
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    page: dict[str, Any] | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The description of the run's data in config.json."""
        return self.trained.config["data"]

    @property
    def seed(self) -> int:
        """The run's seed, which also chooses training examples for the export."""
        return self.trained.config["identity"]["seed"]

    @property
    def spare(self) -> int:
        """Number of examples a file may lose if there are too few to measure its bound.

        It is one for a test split, and two for the sample that comes with pretrained
        weights, because two borderline images out of 200 are no sign of a loss.
        """
        return 2 if self.trained.is_sample else 1

    @property
    def is_classifier(self) -> bool:
        """Whether the model is a classifier."""
        return self.data["num_classes"] is not None

    @property
    def tensor_names(self) -> tuple[str, str]:
        """The names of a file's input and output."""
        return ("image", "probabilities") if self.is_classifier else ("x", "y")

    def bound(self, file: ExportedFile) -> Bound | None:
        """Returns the bounds of a file; None if this run cannot have it."""
        return file.bound if self.is_classifier else file.regression


class Format:
    """An export format: the object ``FORMAT`` in the module of the format's name.

    Attributes:
        name: name in --formats.
        files: files of the format, in the order of the model card.
        needs: formats that must be exported before this one.
    """

    name: str
    files: tuple[ExportedFile, ...] = ()
    needs: tuple[str, ...] = ()

    def check(self, trained: TrainedRun) -> None:
        """Raises UserError if the run cannot be exported to this format."""

    def write(self, draft: Draft) -> None:
        """Writes those files of the format that this run can have."""
        raise NotImplementedError

    def details(self, draft: Draft, file: ExportedFile) -> tuple[dict, list[str]]:
        """Returns further fields of a file's record, and a list of problems."""
        return {}, []
