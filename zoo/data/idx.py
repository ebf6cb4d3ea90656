"""IDX files, the format of MNIST: found, checked against their headers, read.

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
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.data import memory
from zoo.data.cache import Cache, Stream, batch_size
from zoo.data.dataset import Contents
from zoo.errors import UserError

_NAME = re.compile(
    r"(?:.*-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)"
    r"[-.]idx[134]-ubyte(?:\.gz)?"
)
_CHUNK = 1 << 18
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

    def paths(self) -> tuple[Path, ...]:
        """All files whose change means other data."""
        four = (self.train_images, self.train_labels, self.test_images)
        names = () if self.labels_txt is None else (self.labels_txt,)
        return (*four, self.test_labels, *names)

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Checks the four files; returns the shapes (n, height, width, channels).

        Raises:
            UserError: one of them is wrong; the message names the file.
        """
        train = _check_pair(self.train_images, self.train_labels)
        test = _check_pair(self.test_images, self.test_labels)
        if train[1:] != test[1:]:
            raise UserError(
                f"{self.test_images}: test images of {_size(test[1:])} do not match "
                f"training images of {_size(train[1:])}."
            )
        return train, test

    def read(
        self, cache: Cache | None = None, image_size: tuple[int, int] | None = None
    ) -> Contents:
        """Checks and reads everything.

        Args:
            cache: where images go that do not fit in memory; None to have them there.
            image_size: (height, width); default: the size that the files have.

        Raises:
            UserError: see ``shapes``; also a label that is out of range.
        """
        shapes = self.shapes()
        train_y, test_y, class_names = self._labels()
        streams = []
        for path, shape, labels in (
            (self.train_images, shapes[0], train_y),
            (self.test_images, shapes[1], test_y),
        ):
            size = image_size or shape[1:3]
            batches = _batches(path, shape, labels, size)
            streams.append(Stream((shape[0], *size, shape[3]), batches))
        if cache is None:
            return Contents(*(stream.read() for stream in streams), class_names)
        return cache.read(class_names, *streams)

    def _labels(self) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        train, test = read(self.train_labels, (1,)), read(self.test_labels, (1,))
        if self.labels_txt is not None:
            names = read_class_names(self.labels_txt)
            _check_range(self.train_labels, train, len(names))
            _check_range(self.test_labels, test, len(names))
        else:
            _check_no_gap(self.train_labels, train)
            _check_seen(self.test_labels, test, train)
            names = tuple(str(i) for i in range(int(train.max()) + 1))
        return train, test, names


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


def check(path: Path, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    """Checks that a file has the length that its header declares.

    Nothing is unpacked where a gzip file's last bytes tell its length; ``blocks`` finds
    out whether they are right.

    Args:
        path: an IDX file, gzip or not (told by its content).
        dimensions: the allowed numbers of dimensions.

    Returns:
        The shape that the header declares.

    Raises:
        UserError: wrong magic number, a size of zero, truncated, trailing bytes,
            damaged gzip, or not readable.
    """
    with _open(path) as (stream, zipped):
        shape = _header(path, stream, dimensions)
        declared, begin = math.prod(shape), stream.tell()
        actual = path.stat().st_size - begin
        if zipped:
            told = _gzip_length(path) == (begin + declared) % 2**32
            actual = declared if told else _count(stream, declared + 1)
    if actual < declared:
        raise UserError(
            f"{path} is truncated: the header declares {_size(shape)}, {declared} "
            f"bytes, but {actual} follow."
        )
    if actual > declared:
        raise _trailing_bytes(path, shape)
    return shape


def blocks(
    path: Path, dimensions: tuple[int, ...], size: int | None = None
) -> Iterator[np.ndarray]:
    """Checks and reads a file in one pass.

    Args:
        path: an IDX file, gzip or not.
        dimensions: the allowed numbers of dimensions.
        size: rows of a block; None to read all of them at once.

    Yields:
        uint8 (rows, ...), in the order of the file.

    Raises:
        UserError: see ``check``.
        RunError: a block does not fit in memory.
    """
    shape = check(path, dimensions)
    size = size or shape[0]
    with _open(path) as (stream, _):
        _header(path, stream, dimensions)
        for first in range(0, shape[0], size):
            block = memory.allocate((min(size, shape[0] - first), *shape[1:]))
            view, done = memoryview(block).cast("B"), 0
            while done < len(view):
                count = stream.readinto(view[done : done + _CHUNK])
                if not count:
                    raise UserError(f"{path} is truncated.")
                done += count
            yield block
        if stream.read(1):  # which also checks a gzip file's checksum
            raise _trailing_bytes(path, shape)


def read(path: Path, dimensions: tuple[int, ...]) -> np.ndarray:
    """Checks and reads a whole file: uint8 of the shape that it declares.

    Raises:
        UserError: see ``check``.
        RunError: the data do not fit in memory.
    """
    (array,) = blocks(path, dimensions)
    return array


def _batches(
    path: Path, shape: tuple[int, ...], labels: np.ndarray, size: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields images of the given size, each with its label."""
    done = 0
    for block in blocks(path, (3, 4), batch_size((*size, shape[3]))):
        images = block.reshape(-1, *shape[1:])
        if size != shape[1:3]:
            from zoo.data import decode

            images = decode.resize(images, *size).numpy()
        yield images, labels[done : done + len(images)]
        done += len(images)


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
def _open(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Opens an IDX file; damage found while reading becomes a UserError."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if zipped:
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield stream, True  # type: ignore[misc]
            else:
                yield raw, False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is a damaged or truncated gzip file.") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def _header(path: Path, stream: BinaryIO, dimensions: tuple[int, ...]) -> tuple:
    magic = stream.read(4)
    if len(magic) < 4:
        raise UserError(f"{path} is truncated: it ends inside the header.")
    if magic[:3] != b"\x00\x00\x08" or magic[3] not in dimensions:
        wanted = " or ".join(f"0000080{n}" for n in dimensions)
        raise UserError(
            f"{path} has a wrong magic number: expected {wanted}, got {magic.hex()}."
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise UserError(f"{path} is truncated: it ends inside the header.")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise UserError(f"{path} is empty: the header declares {_size(shape)}.")
    if len(shape) == 4 and shape[3] not in (1, 3):
        raise UserError(f"{path} has {shape[3]} channels: only 1 and 3 can be read.")
    return shape


def _gzip_length(path: Path) -> int:
    """Returns the length of the unpacked content modulo 2**32, which is stored last."""
    with path.open("rb") as raw:
        raw.seek(-4, io.SEEK_END)
        return int.from_bytes(raw.read(4), "little")


def _count(stream: BinaryIO, limit: int) -> int:
    """Counts the bytes that follow, up to a limit."""
    total = 0
    while total < limit and (chunk := stream.read(min(_CHUNK, limit - total))):
        total += len(chunk)
    return total


def _trailing_bytes(path: Path, shape: tuple[int, ...]) -> UserError:
    return UserError(
        f"{path} has bytes after the {math.prod(shape)} ({_size(shape)}) that its "
        "header declares."
    )


def _check_pair(images: Path, labels: Path) -> tuple[int, ...]:
    """Checks a split's two files; returns the shape of its images, with channels."""
    image_shape, label_shape = check(images, (3, 4)), check(labels, (1,))
    if image_shape[0] != label_shape[0]:
        raise UserError(
            f"{images} declares {image_shape[0]} images but {labels.name} declares "
            f"{label_shape[0]} labels."
        )
    return image_shape if len(image_shape) == 4 else (*image_shape, 1)


def _check_range(path: Path, labels: np.ndarray, num_classes: int) -> None:
    bad = np.flatnonzero(labels >= num_classes)
    if bad.size:
        raise UserError(
            f"{path}: label {labels[bad[0]]} at index {bad[0]} is out of range: "
            f"labels.txt names {num_classes} classes, 0..{num_classes - 1}."
        )


def _check_no_gap(path: Path, labels: np.ndarray) -> None:
    """Training labels must cover 0..max or 1..max: a gap betrays a wrong label."""
    classes = np.unique(labels)
    expected = np.arange(len(classes)) + min(int(classes[0]), 1)
    wrong = np.flatnonzero(classes != expected)
    if wrong.size:
        label, missing = classes[wrong[0]], expected[wrong[0]]
        index = int(np.flatnonzero(labels == label)[0])
        raise UserError(
            f"{path}: label {label} at index {index} is out of range: no example has "
            f"label {missing}. If that is meant, name the classes in labels.txt."
        )


def _check_seen(path: Path, labels: np.ndarray, train: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isin(labels, np.unique(train)))
    if bad.size:
        raise UserError(
            f"{path}: label {labels[bad[0]]} at index {bad[0]} is out of range: the "
            f"training labels are {train.min()}..{train.max()}."
        )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
