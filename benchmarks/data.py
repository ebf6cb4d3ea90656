"""MNIST as everyone gets it: the IDX files of $MNIST_DIR."""

from __future__ import annotations

import os
import pathlib
import sys

import numpy as np

from zoo.data import idx
from zoo.data.spec import Contents


def directory() -> pathlib.Path:
    """Returns $MNIST_DIR; ends the program with a message where it is not set."""
    path = os.environ.get("MNIST_DIR")
    if not path or not pathlib.Path(path).is_dir():
        sys.exit("Error: set MNIST_DIR to the directory of the four IDX files.")
    return pathlib.Path(path).resolve()


def mnist() -> Contents:
    """Reads the files. Images uint8 (n, 28, 28, 1), labels int32 (n,)."""
    return idx.find(directory()).read()


def scaled(images: np.ndarray) -> np.ndarray:
    """Returns float32 pixels, 0..1, as tutorials keep them in memory."""
    return images.astype(np.float32) / 255.0
