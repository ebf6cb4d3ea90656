"""Datasets as the zoo uses them: arrays and their description."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo.errors import UserError

Task = Literal["classification", "regression"]


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Describes a dataset once its features are known.

    Attributes:
        name: short name that is a valid file name, such as ``mnist`` or
            ``emnist-letters``.
        source: origin of the data for people to read: a TFDS name with its version, or
            the absolute path of a local directory.
        fingerprint: text that changes when the data change; part of a run's identity.
        task: ``classification`` or ``regression``.
        input_shape: shape of one example, (height, width, channels) or (1,).
        num_classes: number of classes; None for regression.
        class_names: one name per class; empty for regression.
        num_train: number of training examples.
        num_test: number of test examples.
        license: the license as TFDS states it, or None.
        citation: how to cite it, as TFDS states it, or None.
    """

    name: str
    source: str
    fingerprint: str
    task: Task
    input_shape: tuple[int, ...]
    num_classes: int | None
    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    license: str | None = None
    citation: str | None = None


class MappedImages:
    """uint8 images (n, height, width, channels) in a .npy file, mapped into memory.

    Indexing with a number, a slice or an array returns an array in memory.

    Args:
        path: path of the file.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path):
        self.path = path
        self._images = np.load(path, mmap_mode="r")
        self._rows = np.arange(len(self._images))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, (n, height, width, channels)."""
        return (len(self._rows), *self._images.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        return np.asarray(self._images.take(self._rows[index], axis=0))

    def take(self, rows: np.ndarray, axis: Literal[0]) -> MappedImages:
        """Returns the images of these rows, without reading them."""
        some = copy.copy(self)
        some._rows = self._rows[rows]
        return some


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split, decoded.

    Attributes:
        x: uint8 images (n, height, width, channels), 0..255, or float32 (n, 1). Images
            that are larger than memory are mapped from disk and read by index.
        y: int32 class indices (n,), or float32 targets (n, 1).
    """

    x: np.ndarray | MappedImages
    y: np.ndarray

    def blocks(self, size: int = 500) -> Iterator[np.ndarray]:
        """Yields x in parts and in order, because all of it may exceed the memory."""
        for first in range(0, len(self.y), size):
            yield self.x[first : first + size]

    def balanced_weights(self, num_classes: int) -> np.ndarray:
        """Returns float32 weights (num_classes,) that give all classes equal influence.

        The mean over the examples is 1. A class without examples gets 0.
        """
        counts = np.bincount(self.y, minlength=num_classes)
        weights = len(self.y) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return np.where(counts > 0, weights, 0).astype(np.float32)

    def brightness(self) -> dict[str, float]:
        """Returns the brightness of up to 1,000 images, from 0 (black) to 255.

        ``lowest`` and ``highest`` are percentiles 1 and 99 of the images' means, and
        ``mean`` is the mean of these.
        """
        rows = np.linspace(0, len(self.y) - 1, min(len(self.y), 1000)).astype(int)
        means = [self.x[row].mean() for row in rows]
        lowest, highest = np.percentile(means, [1, 99])
        numbers = {"lowest": lowest, "mean": np.mean(means), "highest": highest}
        return {name: round(float(number), 2) for name, number in numbers.items()}

    def sha256(self) -> str:
        """Returns a checksum of all examples, which does not depend on their origin."""
        digest = hashlib.sha256(np.asarray(self.y, "<i4").tobytes())
        for block in self.blocks():
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()

    def take(self, rows: np.ndarray) -> Split:
        """Returns the examples of these rows; mapped images stay on disk."""
        return Split(self.x.take(rows, axis=0), self.y[rows])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset that can be trained on: its description and its splits.

    Attributes:
        spec: the description of the dataset.
        train: the examples to train on.
        test: the examples to evaluate the finished model on.
        validation: the examples to evaluate on while training, which come with the
            dataset or were set apart by ``hold_out``; or None.
        damaged: files that were left out because they do not decode, with reasons.
    """

    spec: DataSpec
    train: Split
    test: Split
    validation: Split | None = None
    damaged: tuple[str, ...] = ()

    def hold_out(self, share: float, seed: int) -> Dataset:
        """Returns the dataset with a part of train set apart for validation.

        The part is drawn at random, with the same share of each class. Both parts keep
        the order of the file.

        Args:
            share: share of the training examples, between 0 and 1.
            seed: the same seed gives the same parts.
        """
        from sklearn.model_selection import train_test_split

        # For a regression, all examples count as one class.
        is_class = self.spec.task == "classification"
        classes = self.train.y if is_class else np.zeros(len(self.train.y))
        _, counts = np.unique(classes, return_counts=True)
        try:
            parts = train_test_split(
                np.arange(len(classes)),
                test_size=share,
                random_state=seed,
                stratify=classes,
            )
        except ValueError:  # the share is out of range, or a class has one example
            parts = []
        if not parts or any(
            len(np.unique(classes[part])) < len(counts) for part in parts
        ):
            raise UserError(
                "--validation must leave an example of each class to train on and one "
                f"to validate on; the smallest class has {counts.min()}. Received: "
                f"{share:g}."
            )
        kept, held_out = (self.train.take(np.sort(part)) for part in parts)
        spec = dataclasses.replace(self.spec, num_train=len(kept.y))
        return dataclasses.replace(self, spec=spec, train=kept, validation=held_out)


@dataclasses.dataclass(frozen=True)
class Contents:
    """The splits as they were read, and the class names (empty for regression).

    ``validation`` and ``damaged`` have the same meaning as in ``Dataset``.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    validation: Split | None = None

    def describe(self, **about: Any) -> Dataset:
        """Returns the splits as a ``Dataset``.

        Args:
            **about: the fields of its ``DataSpec`` that the splits do not determine.
        """
        spec = DataSpec(
            task="classification" if self.class_names else "regression",
            input_shape=tuple(self.train.x.shape[1:]),
            num_classes=len(self.class_names) or None,
            class_names=self.class_names,
            num_train=len(self.train.y),
            num_test=len(self.test.y),
            **about,
        )
        return Dataset(spec, self.train, self.test, self.validation, self.damaged)


def check_labels(labels: np.ndarray, num_classes: int, what: str) -> None:
    """Raises UserError for the first label that is no class."""
    if (wrong := np.flatnonzero((labels < 0) | (labels >= num_classes))).size:
        raise UserError(
            f"{what}: label {labels[wrong[0]]} at index {wrong[0]} is out of range "
            f"0..{num_classes - 1}."
        )


def dimensions(shape: Sequence[int]) -> str:
    """Returns a shape for messages and file names, such as ``28x28x1``."""
    return "x".join(map(str, shape))


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an OSError into a UserError which says that the path cannot be read."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error
