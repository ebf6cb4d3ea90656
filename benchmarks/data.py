"""MNIST as everyone gets it: the IDX files of $MNIST_DIR."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import UserError

if TYPE_CHECKING:
    from zoo.data.spec import Contents

_FILES = [
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
]


def directory() -> pathlib.Path:
    """Returns $MNIST_DIR.

    Raises:
        UserError: it is not set, or there are no four IDX files.
    """
    path = pathlib.Path(os.environ.get("MNIST_DIR", ""))
    if not all(any(path.glob(f"{name}*")) for name in _FILES):
        raise UserError(
            f"MNIST_DIR must be the directory of {', '.join(_FILES)}, with or without "
            f".gz. Received: {os.environ.get('MNIST_DIR') or 'nothing'}."
        )
    return path.resolve()


def mnist() -> Contents:
    """Reads the files. Images uint8 (n, 28, 28, 1), labels int32 (n,)."""
    from zoo.data import idx  # imports TensorFlow

    return idx.find(directory()).read()


def scaled(images: np.ndarray) -> np.ndarray:
    """Returns float32 pixels, 0..1, as tutorials keep them in memory."""
    return images.astype(np.float32) / 255.0
