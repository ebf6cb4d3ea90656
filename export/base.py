"""The parts of an export format: its files, their bounds, and how to write them."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.training.outcome import TrainedRun


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
        name: its name in export.json.
        path: its path in the export directory; a SavedModel is a directory itself.
        purpose: what it is for, as the model card says.
        bound: its bounds for a classifier.
        regression: its bounds for a regression; None if a regression has no such file.
        integer: input and output are uint8, and no tensor in it is a float.
        threads: it is verified with several threads as well as with one.
        parallel: its kernels use these threads.
        examples: how many test examples it is verified on; None for all of them.
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
        directory: temporary directory that the files are written to.
        train_batch: batch size of a training step of ``tflite_trainable``.
        device_optimizer: optimizer of ``tflite_trainable``.
        records: the files' records for export.json.
        left_out: files that this run cannot have, with the reasons.
        page: the record of the web page.
    """

    trained: TrainedRun
    directory: pathlib.Path
    train_batch: int = 16
    device_optimizer: str = "sgd"
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
        """How many examples a file may lose where they are too few to tell its bound.

        It is one of a test split, and two of the sample that comes with pretrained
        weights: in 200 images two that were barely right are no sign of a loss.
        """
        return 2 if self.trained.config.get("is_sample") else 1

    @property
    def is_classifier(self) -> bool:
        """Whether this is a classifier."""
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
        name: its name in --formats.
        files: the files that it writes, in the order of the model card.
        needs: formats that must be exported before it.
    """

    name: str
    files: tuple[ExportedFile, ...] = ()
    needs: tuple[str, ...] = ()

    def check(self, trained: TrainedRun) -> None:
        """Raises UserError if the run cannot be exported to this format."""

    def write(self, draft: Draft) -> None:
        """Writes the files that the run can have."""
        raise NotImplementedError

    def details(self, draft: Draft, file: ExportedFile) -> tuple[dict, list[str]]:
        """Returns further fields of a file's record, and a list of problems."""
        return {}, []
