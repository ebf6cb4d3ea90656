"""Writes IDX files and trees of images for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

TRAIN_X = "train-images-idx3-ubyte"
TRAIN_Y = "train-labels-idx1-ubyte"
TEST_X = "t10k-images-idx3-ubyte"
TEST_Y = "t10k-labels-idx1-ubyte"


def pixels(seed: int, *shape: int) -> np.ndarray:
    """Returns random pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    """Returns the content of an IDX file."""
    array = np.asarray(array, np.uint8)
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def idx_arrays(shape=(4, 3), train=12, test=5) -> dict[str, np.ndarray]:
    """Returns the arrays of four IDX files with images of three classes."""
    return {
        TRAIN_X: pixels(0, train, *shape),
        TRAIN_Y: np.arange(train) % 3,
        TEST_X: pixels(1, test, *shape),
        TEST_Y: np.arange(test) % 3,
    }


def write_idx(directory: Path, content: dict, *, zipped: bool = False) -> Path:
    """Writes arrays as IDX files, or bytes unchanged, to files with these names."""
    directory.mkdir(exist_ok=True)
    for name, value in content.items():
        data = value if isinstance(value, bytes) else idx_bytes(value)
        path = directory / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(data) if zipped else data)
    return directory


def save(path: Path, array: np.ndarray) -> Path:
    """Writes an image file and creates the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def split_tree(root: Path, *shape: int) -> Path:
    """Writes a tree with train and test: four images of two classes."""
    shape = shape or (6, 5)
    for i, name in enumerate(["train/cat/1.png", "train/cat/2.PNG", "train/dog/a.bmp"]):
        save(root / name, pixels(i, *shape))
    save(root / "test/dog/b.png", pixels(9, *shape))
    return root


def class_tree(root: Path, names=("cat", "dog"), count=10) -> Path:
    """Writes a tree of class folders."""
    for label, name in enumerate(names):
        for i in range(count):
            save(root / name / f"{i}.png", pixels(100 * label + i, 5, 4))
    return root
