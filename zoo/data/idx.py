"""IDX files, the format of MNIST: found, checked against their headers, read.

Format: two zero bytes, the element type (8: unsigned byte), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the elements.
Source: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.data.cache import Cache, Stream, batch_size
from zoo.data.dataset import Contents
from zoo.errors import UserError

_NAME = re.compile(
    r"(?:.*-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)"
    r"[-.]idx[134]-ubyte(?:\.gz)?"
)
_GZIP_RATIO = 1032  # as much as deflate can save: nothing unpacks to more
_PARTS = (
    ("train", "images", "training images (train-images-idx3-ubyte)"),
    ("train", "labels", "training labels (train-labels-idx1-ubyte)"),
    ("test", "images", "test images (t10k-images-idx3-ubyte)"),
    ("test", "labels", "test labels (t10k-labels-idx1-ubyte)"),
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
        """All files whose change means other data."""
        return [str(path) for path in dataclasses.astuple(self) if path]

    def read(
        self, cache: Cache | None = None, image_size: tuple[int, int] | None = None
    ) -> Contents:
        """Checks and reads everything, in one pass over each file.

        Args:
            cache: where images go that do not fit in memory; None to have them there.
            image_size: (height, width); default: the size that the files have.

        Raises:
            UserError: a file is wrong; the message names it.
            RunError: the images do not fit in memory.
        """
        shapes = [
            _images_shape(self.train_images, self.train_labels),
            _images_shape(self.test_images, self.test_labels),
        ]
        if shapes[0][1:] != shapes[1][1:]:
            raise UserError(
                f"{self.test_images}: test images of {_size(shapes[1][1:])} do not "
                f"match training images of {_size(shapes[0][1:])}."
            )
        *labels, class_names = self._labels()
        images = (self.train_images, self.test_images)
        train, test = (
            _stream(*split, image_size)
            for split in zip(images, shapes, labels, strict=True)
        )
        if cache is None:
            return Contents(train.read(), test.read(), class_names)
        return cache.read(class_names, train, test)

    def _labels(self) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        train, test = (
            np.concatenate([*blocks(path, (1,))])
            for path in (self.train_labels, self.test_labels)
        )
        if self.labels_txt is not None:
            names = read_class_names(self.labels_txt)
            why = f"labels.txt names {len(names)} classes, 0..{len(names) - 1}"
            _refuse(self.train_labels, train, train >= len(names), why)
            _refuse(self.test_labels, test, test >= len(names), why)
            return train, test, names
        # Training labels must be 0..max or 1..max: a gap betrays a wrong label.
        classes = np.unique(train)
        expected = np.arange(len(classes)) + min(int(classes[0]), 1)
        for label, missing in zip(classes, expected, strict=True):
            if label != missing:
                why = f"no example has label {missing}. If that is meant, name the "
                why += "classes in labels.txt"
                _refuse(self.train_labels, train, train == label, why)
        why = f"the training labels are {train.min()}..{train.max()}"
        _refuse(self.test_labels, test, ~np.isin(test, classes), why)
        return train, test, tuple(str(i) for i in range(int(train.max()) + 1))


def find(directory: Path) -> IdxFiles | None:
    """Finds the four IDX files of a directory.

    Returns:
        The files, or None when the directory has no file named like an IDX file.

    Raises:
        UserError: one of the four is missing or there are two of it.
    """
    found: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(directory.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            split = "train" if match["split"] == "train" else "test"
            found.setdefault((split, match["kind"]), []).append(path)
    if not found:
        return None
    four = []
    for split, kind, what in _PARTS:
        paths = found.get((split, kind), [])
        if not paths:
            raise UserError(f"{directory} has no {what}, with or without .gz.")
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise UserError(f"{directory} has {len(paths)} files of {what}: {names}.")
        four.append(paths[0])
    labels_txt = directory / "labels.txt"
    return IdxFiles(*four, labels_txt if labels_txt.is_file() else None)


def blocks(path: Path, dimensions: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Reads a file from front to back, never more than its header declares.

    Args:
        path: an IDX file, gzip or not (told by its content).
        dimensions: the allowed numbers of dimensions.

    Yields:
        uint8 (rows, ...), in the order of the file.

    Raises:
        UserError: wrong magic number, a size of zero, truncated, trailing bytes,
            damaged gzip, or not readable.
    """
    with _open(path) as stream:
        shape = _header(path, stream, dimensions)
        row, done = math.prod(shape[1:]), 0
        size = batch_size(shape[1:]) * row
        while data := stream.read(min(size, math.prod(shape) - done)):
            done += len(data)
            if len(data) % row:
                break
            yield np.frombuffer(data, np.uint8).reshape(-1, *shape[1:])
        if done < math.prod(shape):
            raise _truncated(path, shape, done)
        if stream.read(1):  # which also compares a gzip file's checksum
            raise _trailing_bytes(path, shape)


def _stream(
    path: Path,
    shape: tuple[int, ...],
    labels: np.ndarray,
    image_size: tuple[int, int] | None,
) -> Stream:
    """Returns the images of a file, resized if that is asked for, and their labels."""

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        done = 0
        for images in blocks(path, (3, 4)):
            images = images.reshape(-1, *shape[1:])
            if image_size:
                from zoo.data import decode

                images = decode.resize(images, *image_size).numpy()
            yield images, labels[done : done + len(images)]
            done += len(images)

    return Stream((shape[0], *(image_size or shape[1:3]), shape[3]), batches())


def read_class_names(path: Path) -> tuple[str, ...]:
    """Reads labels.txt: one class name per line.

    Raises:
        UserError: not UTF-8, empty, an empty line, or a name twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read {path}: {error}.") from error
    names = tuple(line.strip() for line in lines)
    if not names or not all(names):
        raise UserError(f"{path} needs one class name per line, without empty lines.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} has the class name {twice!r} twice.")
    return names


@contextlib.contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """Opens an IDX file; damage found while reading becomes a UserError."""
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is a damaged or truncated gzip file.") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _header(
    path: Path, stream: BinaryIO, dimensions: tuple[int, ...]
) -> tuple[int, ...]:
    """Reads the header; returns the shape that it declares, if that is possible."""
    inside = UserError(f"{path} is truncated: it ends inside the header.")
    magic = stream.read(4)
    if len(magic) < 4:
        raise inside
    if magic[:3] != b"\x00\x00\x08" or magic[3] not in dimensions:
        wanted = " or ".join(f"0000080{n}" for n in dimensions)
        raise UserError(
            f"{path} has a wrong magic number: expected {wanted}, got {magic.hex()}."
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise inside
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise UserError(f"{path} is empty: the header declares {_size(shape)}.")
    if len(shape) == 4 and shape[3] not in (1, 3):
        raise UserError(f"{path} has {shape[3]} channels: only 1 and 3 can be read.")
    size, zipped = path.stat().st_size, isinstance(stream, gzip.GzipFile)
    follow = size * _GZIP_RATIO if zipped else size - stream.tell()
    if math.prod(shape) > follow:
        raise _truncated(path, shape, f"at most {follow}" if zipped else follow)
    if math.prod(shape) < follow and not zipped:
        raise _trailing_bytes(path, shape)
    return shape


def _truncated(path: Path, shape: tuple[int, ...], follow: int | str) -> UserError:
    return UserError(
        f"{path} is truncated: the header declares {_size(shape)}, {math.prod(shape)} "
        f"bytes, but {follow} follow."
    )


def _trailing_bytes(path: Path, shape: tuple[int, ...]) -> UserError:
    return UserError(
        f"{path} has bytes after the {math.prod(shape)} ({_size(shape)}) that its "
        "header declares."
    )


def _images_shape(images: Path, labels: Path) -> tuple[int, ...]:
    """Compares a split's two headers; returns the images' shape, with channels."""
    with _open(images) as stream, _open(labels) as other:
        shape = _header(images, stream, (3, 4))
        (count,) = _header(labels, other, (1,))
    if shape[0] != count:
        raise UserError(
            f"{images} declares {shape[0]} images but {labels.name} declares "
            f"{count} labels."
        )
    return shape if len(shape) == 4 else (*shape, 1)


def _refuse(path: Path, labels: np.ndarray, wrong: np.ndarray, why: str) -> None:
    """Raises UserError for the first label that is wrong."""
    if wrong.any():
        i = int(wrong.argmax())
        raise UserError(
            f"{path}: label {labels[i]} at index {i} is out of range: {why}."
        )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
