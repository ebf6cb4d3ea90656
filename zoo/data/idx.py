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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo.data import memory
from zoo.data.dataset import Contents, Split
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

    def check(self) -> None:
        """Checks headers, sizes, counts and labels; images are not kept in memory.

        Raises:
            UserError: one of them is wrong; the message names the file.
        """
        self._labels()

    def shapes(self, image_size: tuple[int, int] | None = None) -> list[tuple]:
        """Returns the shapes of both splits, as the files declare them.

        Args:
            image_size: not used; the images keep the size of the files.
        """
        return [_declared(path) for path in (self.train_images, self.test_images)]

    def read(self, image_size: tuple[int, int] | None = None) -> Contents:
        """Checks and reads everything.

        Args:
            image_size: not used; the images keep the size of the files.

        Raises:
            UserError: see ``check``.
        """
        labels = self._labels()
        memory.require(self.shapes(), str(self.train_images.parent))
        return self._contents(lambda path: _with_channels(read(path)), *labels)

    def stream(self, image_size: tuple[int, int] | None = None) -> Contents:
        """Checks everything; the images of the splits are read one after the other.

        Args:
            image_size: not used; the images keep the size of the files.

        Raises:
            UserError: see ``check``.
        """
        return self._contents(Images, *self._labels())

    def _contents(
        self,
        open_images: Callable[[Path], Any],
        train_y: np.ndarray,
        test_y: np.ndarray,
        class_names: tuple[str, ...],
    ) -> Contents:
        return Contents(
            Split(open_images(self.train_images), train_y.astype(np.int32)),
            Split(open_images(self.test_images), test_y.astype(np.int32)),
            class_names,
        )

    def _labels(self) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        shapes = [
            _check_pair(self.train_images, self.train_labels),
            _check_pair(self.test_images, self.test_labels),
        ]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{self.test_images}: test images of {_size(shapes[1])} do not match "
                f"training images of {_size(shapes[0])}."
            )
        names = None if self.labels_txt is None else read_class_names(self.labels_txt)
        train, test = read(self.train_labels), read(self.test_labels)
        if names is not None:
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
    """Checks that a file holds exactly what its header declares.

    Takes no more memory than a chunk: compressed data is counted, not kept.

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
        declared, size = math.prod(shape), path.stat().st_size
        actual = size - stream.tell()
        if zipped:
            actual = _count(stream, declared + 1)
    if actual < declared:
        raise UserError(
            f"{path} is truncated: the header declares {_size(shape)}, {declared} "
            f"bytes, but {actual} follow."
        )
    if actual > declared:
        raise UserError(
            f"{path} has bytes after the {declared} ({_size(shape)}) that its header "
            "declares."
        )
    return shape


def read(path: Path) -> np.ndarray:
    """Reads a file that ``check`` has passed: uint8 of the declared shape.

    Raises:
        UserError: the file changed and is damaged now, or is not readable.
        RunError: the data do not fit in memory.
    """
    with _open(path) as (stream, _):
        shape = _header(path, stream, (1, 3, 4))
        data = memory.allocate(shape)
        view, done = memoryview(data).cast("B"), 0
        while done < len(view):
            count = stream.readinto(view[done : done + _CHUNK])  # type: ignore[attr-defined]
            if not count:
                raise UserError(f"{path} is truncated.")
            done += count
    return data


def _declared(path: Path) -> tuple[int, ...]:
    with _open(path) as (stream, _):
        return _header(path, stream, (3, 4))


class Images:
    """The images of a file that ``check`` has passed, read one after the other.

    Args:
        path: an IDX file of images.

    Attributes:
        shape: of all of them, (n, height, width, channels).

    Raises:
        UserError: the file changed and is damaged now, or is not readable.
    """

    def __init__(self, path: Path):
        self._path = path
        shape = _declared(path)
        self.shape = (*shape[:3], shape[3] if len(shape) == 4 else 1)

    def __iter__(self) -> Iterator[np.ndarray]:
        size = math.prod(self.shape[1:])
        with _open(self._path) as (stream, _):
            _header(self._path, stream, (3, 4))
            for _ in range(self.shape[0]):
                image = stream.read(size)
                if len(image) < size:
                    raise UserError(f"{self._path} is truncated.")
                yield np.frombuffer(image, np.uint8).reshape(self.shape[1:])


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


def _count(stream: BinaryIO, limit: int) -> int:
    """Counts the bytes that follow, up to a limit."""
    total = 0
    while total < limit and (chunk := stream.read(min(_CHUNK, limit - total))):
        total += len(chunk)
    return total


def _check_pair(images: Path, labels: Path) -> tuple[int, ...]:
    """Checks a split's two files; returns the shape of one image."""
    image_shape, label_shape = check(images, (3, 4)), check(labels, (1,))
    if image_shape[0] != label_shape[0]:
        raise UserError(
            f"{images} declares {image_shape[0]} images but {labels.name} declares "
            f"{label_shape[0]} labels."
        )
    return image_shape[1:] if len(image_shape) == 4 else (*image_shape[1:], 1)


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


def _with_channels(images: np.ndarray) -> np.ndarray:
    return images if images.ndim == 4 else images[..., np.newaxis]


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape)
