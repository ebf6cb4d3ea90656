"""What an export format is made of: files, their bounds, how they are written."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.training.outcome import TrainedRun


@dataclasses.dataclass(frozen=True)
class Bound:
    """What a file must reach against the Keras model.

    Attributes:
        max_abs_error: of any probability, or of y.
        same_top1: every example gets the same class, but for ties within that error.
        accuracy_drop: in points of test accuracy; or one example, where the test
            split is too small to tell so few points.
    """

    max_abs_error: float | None = None
    same_top1: bool = False
    accuracy_drop: float | None = None


EXACT = Bound(max_abs_error=1e-4, same_top1=True)


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """A file that a format writes.

    Attributes:
        name: in export.json.
        path: in the export directory; a SavedModel is a directory itself.
        purpose: what it is for, in the model card.
        bound: what it must reach for a classifier.
        regression: likewise for a regression; None for a file that it cannot have.
        integer: it takes and gives uint8, and no tensor in it is a float.
        threads: it is proved on several threads too, besides on one.
        parallel: its kernels use these threads.
    """

    name: str
    path: str
    purpose: str
    bound: Bound
    regression: Bound | None = None
    integer: bool = False
    threads: bool = True
    parallel: bool = True


@dataclasses.dataclass
class Draft:
    """An export while it is written: what goes into it, and what is in it already.

    Attributes:
        trained: the run. Its outputs are what every file is compared with.
        directory: where it is written, beside its place.
        train_batch: examples of a step of ``tflite_trainable``.
        device_optimizer: of ``tflite_trainable``.
        records: of the files, as in export.json.
        left_out: files that such a run cannot have, and why.
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
        """The run's data, as config.json describes them."""
        return self.trained.config["data"]

    @property
    def seed(self) -> int:
        """The run's, by which training examples are chosen."""
        return self.trained.config["identity"]["seed"]

    @property
    def is_classifier(self) -> bool:
        """Whether the data have classes."""
        return self.data["num_classes"] is not None

    @property
    def tensor_names(self) -> tuple[str, str]:
        """What the input and the output of a file are called."""
        return ("image", "probabilities") if self.is_classifier else ("x", "y")

    def bound(self, file: ExportedFile) -> Bound | None:
        """Returns what a file must reach; None if such a run cannot have it."""
        return file.bound if self.is_classifier else file.regression


class Format:
    """An export format. Each has a module of its name with such an object, ``FORMAT``.

    Attributes:
        name: as in --formats.
        files: what it writes, in the order of the model card.
        needs: formats that must be in the export before it.
    """

    name: str
    files: tuple[ExportedFile, ...] = ()
    needs: tuple[str, ...] = ()

    def check(self, trained: TrainedRun) -> None:
        """Raises UserError if the format is not for such a run."""

    def write(self, draft: Draft) -> None:
        """Writes all files that the run can have."""
        raise NotImplementedError

    def details(self, draft: Draft, file: ExportedFile) -> tuple[dict, list[str]]:
        """Returns what else export.json says of a file, and what is wrong with it."""
        return {}, []
