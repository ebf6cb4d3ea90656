"""The data of all contestants, and where the datasets are."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from zoo.data import idx
from zoo.data.dataset import Contents, Split
from zoo.data.folder import EXTENSIONS
from zoo.errors import UserError

#: The models that are compared on MNIST; the others are for photographs.
ON_MNIST = ("mlp", "convnet")


def directory() -> pathlib.Path:
    """Returns $MNIST_DIR."""
    given = os.environ.get("MNIST_DIR", "")
    path = pathlib.Path(given)
    if not given or not path.is_dir() or idx.find(path) is None:
        raise UserError(
            "MNIST_DIR must be the directory of the four IDX files (train-images-idx3-"
            "ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-"
            f"ubyte, with or without .gz). Received: {given or 'nothing'}."
        )
    return path.resolve()


def cifar10_directory() -> pathlib.Path:
    """Returns $CIFAR10_DIR."""
    given = os.environ.get("CIFAR10_DIR", "")
    splits = (pathlib.Path(given, name) for name in ("train", "test"))
    if not given or not all(split.is_dir() for split in splits):
        raise UserError(
            "CIFAR10_DIR must be the directory of CIFAR-10, with the images of each "
            "class in a folder of its own, in train and in test. Received: "
            f"{given or 'nothing'}."
        )
    return pathlib.Path(given).resolve()


def trash_directory() -> pathlib.Path:
    """Returns $TRASH_DIR."""
    given = os.environ.get("TRASH_DIR", "")
    path = pathlib.Path(given)
    if not given or not path.is_dir() or len(photographs(path)) < 2:
        raise UserError(
            "TRASH_DIR must be the directory of the photographs, with those of each "
            "class in a folder of its own, such as glass and metal. Received: "
            f"{given or 'nothing'}."
        )
    return path.resolve()


def photographs(directory: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Returns the photographs of each class, in the order of their names."""
    folders = sorted(path for path in directory.iterdir() if path.is_dir())
    found = {
        folder.name: sorted(
            p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS
        )
        for folder in folders
    }
    return {name: paths for name, paths in found.items() if paths}


def mnist() -> Contents:
    """Returns MNIST: images uint8 (n, 28, 28, 1), labels int32 (n,)."""
    return idx.find(directory()).read()


def examples(model_name: str) -> Split:
    """Returns the examples to train a model on: MNIST, or random images of 32x32x3."""
    if model_name in ON_MNIST:
        return mnist().train
    return random_photographs(5120, 32)


def random_photographs(count: int, side: int) -> Split:
    """Returns random images of side x side x 3, in ten classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    return Split(images, rng.integers(0, 10, count, np.int32))


def scaled(images: np.ndarray) -> np.ndarray:
    """Returns float32 pixels, 0 to 1, as tutorials keep them in memory."""
    return images.astype(np.float32) / 255.0
