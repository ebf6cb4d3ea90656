"""MNIST as everyone gets it: the IDX files of $MNIST_DIR."""

from __future__ import annotations

import os
import pathlib
import sys


def directory() -> pathlib.Path:
    """Returns $MNIST_DIR; ends the program with a message where it is not set."""
    path = os.environ.get("MNIST_DIR")
    if not path or not pathlib.Path(path).is_dir():
        sys.exit("Error: set MNIST_DIR to the directory of the four IDX files.")
    return pathlib.Path(path).resolve()
