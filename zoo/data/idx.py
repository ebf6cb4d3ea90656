"""Finds, checks and reads IDX files, the format of MNIST.

Format: two zero bytes, the element type (8: unsigned byte), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the elements.
Source: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import dataclasses
import gzip
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from zoo.data.dataset import Contents, Split, check_labels, dimensions, reading
from zoo.errors import UserError

_FILES = {
    "training images (train-images-idx3-ubyte)": "train-images[-.]idx3",
    "training labels (train-labels-idx1-ubyte)": "train-labels[-.]idx1",
    "test images (t10k-images-idx3-ubyte)": "(test|t10k)-images[-.]idx3",
    "test labels (t10k-labels-idx1-ubyte)": "(test|t10k)-labels[-.]idx1",
}


@dataclasses.dataclass(frozen=True)
class IdxFiles:
    """Four IDX files of one directory, and the file that names the classes."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path
    labels_txt: Path | None = None

    def paths(self) -> list[str]:
        """All files that determine the data."""
        return [str(path) for path in dataclasses.astuple(self) if path]

    def read(self) -> Contents:
        """Checks and reads everything."""
        train = _read_split(self.train_images, self.train_labels)
        test = _read_split(self.test_images, self.test_labels)
        if train.x.shape[1:] != test.x.shape[1:]:
            raise UserError(
                f"{self.test_images}: test images of {dimensions(test.x.shape[1:])} do "
                f"not match training images of {dimensions(train.x.shape[1:])}."
            )
        if self.labels_txt is None:
            names = tuple(str(i) for i in range(train.y.max() + 1))
        else:
            names = _class_names(self.labels_txt)
        check_labels(train.y, len(names), str(self.train_labels))
        check_labels(test.y, len(names), str(self.test_labels))
        return Contents(train, test, names)


def find(directory: Path) -> IdxFiles | None:
    """Finds the four IDX files of a directory; None if it has no file of that kind."""
    names = sorted(path.name for path in directory.iterdir())
    found = {
        what: [n for n in names if re.fullmatch(rf"(.*-)?{name}-ubyte(\.gz)?", n)]
        for what, name in _FILES.items()
    }
    if not any(found.values()):
        return None
    for what, matching in found.items():
        if not matching:
            raise UserError(f"{directory} has no {what}, with or without .gz.")
        if len(matching) > 1:
            raise UserError(
                f"{directory} has {len(matching)} files of {what}: "
                f"{', '.join(matching)}."
            )
    labels_txt = directory / "labels.txt" if "labels.txt" in names else None
    train_x, train_y, test_x, test_y = (directory / n for (n,) in found.values())
    return IdxFiles(train_x, train_y, test_x, test_y, labels_txt)


def _read_split(images: Path, labels: Path) -> Split:
    x, y = read_file(images, rank=3), read_file(labels, rank=1)
    if len(x) != len(y):
        raise UserError(
            f"{images} declares {len(x)} images but {labels.name} declares {len(y)} "
            "labels."
        )
    return Split(x[..., np.newaxis], y.astype(np.int32))


def read_file(path: Path, rank: int) -> np.ndarray:
    """Reads a file, gzipped or not, that must have ``rank`` dimensions."""
    with reading(path):
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            try:
                data = gzip.decompress(data)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise UserError(
                    f"{path} is a damaged or truncated gzip file."
                ) from error
    magic, start = bytes([0, 0, 8, rank]), 4 + 4 * rank
    if data[:4] != magic or len(data) < start:
        kind = "images" if rank == 3 else "labels"
        raise UserError(
            f"{path} is not an IDX file of {kind}: its header must begin with "
            f"{magic.hex()}. Received: {data[:start].hex() or 'an empty file'}."
        )
    shape = struct.unpack(f">{rank}I", data[4:start])
    declared, there = math.prod(shape), len(data) - start
    if there != declared or not declared:
        raise UserError(
            f"{path} is damaged or empty: its header declares {dimensions(shape)}, "
            f"{declared} bytes, and {there} follow."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _class_names(path: Path) -> tuple[str, ...]:
    """Reads labels.txt: one class name per line."""
    try:
        with reading(path):
            lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        lines = []
    names = tuple(line.strip() for line in lines)
    if not names or not all(names) or len(set(names)) < len(names):
        raise UserError(
            f"{path} must be UTF-8 with one class name per line, without empty lines "
            "and without a name that comes twice."
        )
    return names
