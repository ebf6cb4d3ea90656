"""What a dataset is to the rest of the zoo: arrays and a description of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

Task = Literal["classification", "regression"]


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """Describes a dataset once its features are known.

    Attributes:
        name: short name fit for a file name, as ``mnist`` or ``emnist-letters``.
        source: where it came from, for people: a TFDS name with its version, or
            the absolute path of a local directory.
        fingerprint: changes when the data do; part of a run's identity.
        task: ``classification`` or ``regression``.
        input_shape: shape of one example, (height, width, channels) or (1,).
        num_classes: number of classes; None for regression.
        class_names: one name per class; empty for regression.
        num_train: number of training examples.
        num_test: number of test examples.
        license: the licence as TFDS states it, or None.
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


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of one split, decoded.

    Attributes:
        x: uint8 images (n, height, width, channels), 0..255, or float32 (n, 1). What is
            larger than memory is a ``zoo.data.cache.DiskImages``: read by slices.
        y: int32 class indices (n,), or float32 targets (n, 1).
    """

    x: np.ndarray
    y: np.ndarray

    def blocks(self, size: int = 500) -> Iterator[np.ndarray]:
        """Yields x in parts, in order: all of it may be larger than memory."""
        for first in range(0, len(self.y), size):
            yield self.x[first : first + size]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset in memory: its description, training and test examples."""

    spec: DataSpec
    train: Split
    test: Split


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a builder of our own writes: two splits of images and the class names."""

    train: Split
    test: Split
    class_names: tuple[str, ...]
