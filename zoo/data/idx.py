"""Finds, checks and reads IDX files, the format of MNIST.

Format: two zero bytes, the element type (8: unsigned byte), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the elements.
Source: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from zoo.data.cache import Cache, Stream, batch_size
from zoo.data.dataset import Contents, dimensions, reading
from zoo.errors import UserError

_GZIP_RATIO = 1032  # the largest ratio that deflate can reach
_FILES = (
    ("train", "images", "training images (train-images-idx3-ubyte)"),
    ("train", "labels", "training labels (train-labels-idx1-ubyte)"),
    ("(test|t10k)", "images", "test images (t10k-images-idx3-ubyte)"),
    ("(test|t10k)", "labels", "test labels (t10k-labels-idx1-ubyte)"),
)


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

    def read(
        self, cache: Cache | None = None, image_size: tuple[int, int] | None = None
    ) -> Contents:
        """Checks and reads everything, in one pass over each file.

        Args:
            cache: cache for images that do not fit in memory; None keeps all of them in
                memory.
            image_size: (height, width); default: the size in the files.

        Raises:
            UserError: a file is invalid; the message names it.
            RunError: the images do not fit in memory.
        """
        train_shape = _images_shape(self.train_images, self.train_labels)
        test_shape = _images_shape(self.test_images, self.test_labels)
        if train_shape[1:] != test_shape[1:]:
            raise UserError(
                f"{self.test_images}: test images of {dimensions(test_shape[1:])} do "
                f"not match training images of {dimensions(train_shape[1:])}."
            )
        train_y, test_y, class_names = self._labels()
        shape = (*(image_size or train_shape[1:3]), train_shape[3])
        train, test = (
            Stream((len(y), *shape), _batches(path, y, shape))
            for path, y in ((self.train_images, train_y), (self.test_images, test_y))
        )
        if cache is None:
            return Contents(train.read(), test.read(), class_names)
        return cache.read(class_names, train, test)

    def _labels(self) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Returns the labels of both splits as class indices, and the class names."""
        train, test = (
            np.concatenate([*blocks(path, (1,))])
            for path in (self.train_labels, self.test_labels)
        )
        if self.labels_txt is not None:
            names = _class_names(self.labels_txt)
            why = f"labels.txt names {len(names)} classes, 0..{len(names) - 1}"
            _check_labels(self.train_labels, train, range(len(names)), why)
            _check_labels(self.test_labels, test, range(len(names)), why)
            return train, test, names
        # Training labels must be 0..max or 1..max: a gap means that a label is wrong.
        classes = np.unique(train)
        first = min(int(classes[0]), 1)
        known = classes[classes == np.arange(first, first + len(classes))]
        why = f"no example has label {first + len(known)}. If that is meant, name the "
        why += "classes in labels.txt"
        _check_labels(self.train_labels, train, known, why)
        why = f"the training labels are {classes[0]}..{classes[-1]}"
        _check_labels(self.test_labels, test, known, why)
        return train, test, tuple(str(i) for i in range(classes[-1] + 1))


def find(directory: Path) -> IdxFiles | None:
    """Finds the four IDX files of a directory.

    Returns:
        The files, or None when the directory has no file named like an IDX file.

    Raises:
        UserError: one of the four is missing or exists twice.
    """
    names = sorted(path.name for path in directory.iterdir())
    found = []
    for split, kind, _ in _FILES:
        name = re.compile(rf"(.*-)?{split}-{kind}[-.]idx[134]-ubyte(\.gz)?")
        found.append([each for each in names if name.fullmatch(each)])
    if not any(found):
        return None
    for matching, (_, _, what) in zip(found, _FILES, strict=True):
        if not matching:
            raise UserError(f"{directory} has no {what}, with or without .gz.")
        if len(matching) > 1:
            raise UserError(
                f"{directory} has {len(matching)} files of {what}: "
                f"{', '.join(matching)}."
            )
    train_x, train_y, test_x, test_y = (directory / name for (name,) in found)
    labels_txt = directory / "labels.txt" if "labels.txt" in names else None
    return IdxFiles(train_x, train_y, test_x, test_y, labels_txt)


def blocks(path: Path, ranks: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Reads a file from front to back, but no more than its header declares.

    Args:
        path: an IDX file; its content tells whether it is gzipped.
        ranks: allowed numbers of dimensions.

    Yields:
        uint8 (rows, ...), in the order of the file.

    Raises:
        UserError: wrong magic number, a size of zero, truncated, trailing bytes,
            damaged gzip, or not readable.
    """
    with _open(path) as stream:
        shape = _header(path, stream, ranks)
        declared = f"the header declares {dimensions(shape)}, {math.prod(shape)} bytes"
        row, rows = math.prod(shape[1:]), batch_size(shape[1:])
        for first in range(0, shape[0], rows):
            count = min(rows, shape[0] - first)
            data = stream.read(count * row)
            if len(data) < count * row:
                raise UserError(
                    f"{path} is truncated: {declared}, but "
                    f"{first * row + len(data)} follow."
                )
            yield np.frombuffer(data, np.uint8).reshape(count, *shape[1:])
        if stream.read(1):  # this also verifies a gzip file's checksum
            raise UserError(f"{path} has bytes after its images or labels: {declared}.")


def _batches(
    path: Path, labels: np.ndarray, shape: tuple[int, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the images of a file, resized to a shape, with their labels."""
    done = 0
    for images in blocks(path, (3, 4)):
        images = images.reshape(*images.shape[:3], shape[2])
        if images.shape[1:] != shape:
            from zoo.data import decode

            images = decode.resize(images, *shape[:2]).numpy()
        yield images, labels[done : done + len(images)]
        done += len(images)


def _class_names(path: Path) -> tuple[str, ...]:
    """Reads labels.txt: one class name per line."""
    try:
        with reading(path):
            lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}.") from error
    names = tuple(line.strip() for line in lines)
    if not names or not all(names):
        raise UserError(f"{path} needs one class name per line, without empty lines.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has the class name {twice!r} twice.")
    return names


@contextlib.contextmanager
def _open(path: Path) -> Iterator[io.BufferedIOBase]:
    """Opens an IDX file; damage found while reading becomes a UserError."""
    with reading(path), path.open("rb") as file:
        is_gzip = file.peek(2).startswith(b"\x1f\x8b")
        try:
            yield gzip.GzipFile(fileobj=file) if is_gzip else file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{path} is a damaged or truncated gzip file.") from error


def _header(
    path: Path, stream: io.BufferedIOBase, ranks: tuple[int, ...]
) -> tuple[int, ...]:
    """Reads the header; returns its shape, or raises UserError if it is impossible."""
    magic = stream.read(4)
    allowed = [bytes([0, 0, 8, rank]) for rank in ranks]
    if magic not in allowed:
        wanted = " or ".join(each.hex() for each in allowed)
        raise UserError(
            f"{path} has a wrong magic number: expected {wanted}, got "
            f"{magic.hex() or 'an empty file'}."
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise UserError(f"{path} is truncated: it ends inside the header.")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise UserError(f"{path} is empty: the header declares {dimensions(shape)}.")
    if len(shape) == 4 and shape[3] not in (1, 3):
        raise UserError(f"{path} has {shape[3]} channels: only 1 and 3 can be read.")
    ratio = _GZIP_RATIO if isinstance(stream, gzip.GzipFile) else 1
    if math.prod(shape) > path.stat().st_size * ratio:
        raise UserError(
            f"{path} is truncated: the header declares {dimensions(shape)}, which is "
            "more than a file of this size can hold."
        )
    return shape


def _images_shape(images: Path, labels: Path) -> tuple[int, ...]:
    """Compares the two headers of a split; returns the images' shape with channels."""
    with _open(images) as stream:
        shape = _header(images, stream, (3, 4))
    with _open(labels) as stream:
        (count,) = _header(labels, stream, (1,))
    if shape[0] != count:
        raise UserError(
            f"{images} declares {shape[0]} images but {labels.name} declares "
            f"{count} labels."
        )
    return shape if len(shape) == 4 else (*shape, 1)


def _check_labels(path: Path, labels: np.ndarray, known: Sequence, why: str) -> None:
    """Raises UserError for the first label that is not a class."""
    wrong = np.flatnonzero(~np.isin(labels, known))
    if wrong.size:
        i = wrong[0]
        raise UserError(
            f"{path}: label {labels[i]} at index {i} is out of range: {why}."
        )
