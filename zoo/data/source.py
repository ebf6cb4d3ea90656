"""A dataset that has been found, whatever kind it is of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from zoo.data.dataset import Dataset
from zoo.errors import RunError, UserError, unknown

#: The ways to bring an image of another size to the model's height and width.
RESIZES = ("stretch", "crop", "pad")
#: The way of trainings and of ``load_dataset``, unless another one is asked for.
DEFAULT_RESIZE = "stretch"
#: The way where none is recorded: runs from before there was a choice, and files that
#: lie in no run.
UNRECORDED_RESIZE = "stretch"


class Unreachable(RunError):
    """A dataset is not prepared, and the host of its files does not answer.

    Args:
        reason: text that says so.
        advice: a sentence that says what to do.
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}. {advice}")
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Options:
    """How to read a dataset.

    Attributes:
        image_size: (height, width) to which all images are resized by bilinear
            interpolation with antialiasing. None for the size of the dataset or, if
            sizes differ, of the first image.
        largest: without ``image_size``, images that are higher or wider than this are
            resized to a square of this side; None for no limit.
        resize: how images of another shape are resized. ``stretch``: whatever their
            shape. ``crop``: their largest centered region of that shape. ``pad``: the
            whole image, centered on black.
        num_examples: number of training examples of ``linear_regression``.
        seed: seed of ``linear_regression``, 0 or more.
        progress: show progress bars, and TFDS's messages.
        skip_damaged: leave out files of a tree of images that do not decode.
    """

    image_size: tuple[int, int] | None = None
    largest: int | None = None
    resize: str = DEFAULT_RESIZE
    num_examples: int = 1000
    seed: int = 0
    progress: bool = False
    skip_damaged: bool = False

    def __post_init__(self):
        size = self.image_size
        if size is not None and not (
            isinstance(size, tuple | list)
            and len(size) == 2
            and all(isinstance(side, int) and side >= 1 for side in size)
        ):
            raise UserError(
                "image_size must be a height and a width of at least 1. "
                f"Received: {size}"
            )
        if self.resize not in RESIZES:
            raise unknown("resize", str(self.resize), RESIZES)

    def size_for(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width for images that have this size."""
        if self.image_size:
            return self.image_size
        if self.largest and max(height, width) > self.largest:
            return self.largest, self.largest
        return height, width

    @property
    def cache_suffix(self) -> str:
        """What the name of a cache ends in, so that each way has a cache of its own."""
        return "" if self.resize == UNRECORDED_RESIZE else f"-{self.resize}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A dataset that has been found and can be read.

    Attributes:
        requested: the requested name, or the default.
        used: the name or the directory of the dataset that is read.
        root: the data directory.
        reason: why ``used`` differs from ``requested``; None if it does not.
        directory: the absolute path of a local directory; None for other datasets.
        is_tree: whether the dataset is a tree of image files.
        has_validation: whether it has a split for validation.
        ignored: files and folders of a tree that belong to no class.
    """

    requested: str
    used: str
    root: Path
    reason: str | None = None
    directory: Path | None = None
    is_tree: bool = False
    has_validation: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The short name, ``DataSpec.name``, which is a valid file name."""
        raise NotImplementedError

    def open(self) -> None:
        """Checks that the dataset can be read, before anything is written.

        Raises:
            UserError: the dataset does not consist of labeled images.
            Unreachable: it has to be downloaded, and no host answers.
        """

    def read(self, **options: Any) -> Dataset:
        """Reads the dataset; the first of several processes prepares it.

        Args:
            **options: the fields of ``Options``.

        Returns:
            uint8 images with int32 labels, in file order; or float32 x and y.

        Raises:
            UserError: there is a mistake in a local directory, a number is out of
                range, or the data directory cannot be written.
            RunError: downloading, preparing or reading failed.
        """
        checked = Options(**options)
        self.open()
        return self._read(checked)

    def _read(self, options: Options) -> Dataset:
        raise NotImplementedError


def first_line(error: Exception) -> str:
    """Returns the first line of an error of TFDS or TensorFlow."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
