"""MNIST as everyone gets it: the IDX files of $MNIST_DIR."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from zoo.data.spec import Contents


def directory() -> pathlib.Path:
    """Returns $MNIST_DIR; ends the program with a message where it is not set."""
    path = os.environ.get("MNIST_DIR")
    if not path or not pathlib.Path(path).is_dir():
        print(
            f"Error: MNIST_DIR must be the directory of the four IDX files. Received: "
            f"{path or 'nothing'}.",
            file=sys.stderr,
        )
        sys.exit(2)
    return pathlib.Path(path).resolve()


def mnist() -> Contents:
    """Reads the files. Images uint8 (n, 28, 28, 1), labels int32 (n,)."""
    from zoo.data import idx  # imports TensorFlow

    return idx.find(directory()).read()


def scaled(images: np.ndarray) -> np.ndarray:
    """Returns float32 pixels, 0..1, as tutorials keep them in memory."""
    return images.astype(np.float32) / 255.0
