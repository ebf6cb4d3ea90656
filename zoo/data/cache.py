"""Decoded images in the data directory: written once as .npy files, read by index.

A cache is a directory with the images, ``train.npy`` and ``test.npy``, and
``labels.npz``, which is written last. A cache with that file is complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import filelock
import numpy as np

from zoo import files
from zoo.data.dataset import Contents, MappedImages, Split, reading
from zoo.errors import RunError, UserError

FOLDER = "decoded"  # in the data directory; may be removed at any time
MAPPED_FROM = 2 * 10**9  # splits of more bytes are mapped from disk
_BATCH = 1000
_BATCH_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True)
class Stream:
    """A split that is read from front to back, once.

    Attributes:
        shape: shape of all its images, (n, height, width, channels).
        batches: pairs of uint8 images (batch, height, width, channels) and their
            labels (batch,).
    """

    shape: tuple[int, ...]
    batches: Iterable[tuple[np.ndarray, np.ndarray]]

    def read(self) -> Split:
        """Reads the split into memory."""
        x, y, done = np.empty(self.shape, np.uint8), [], 0
        for images, labels in self.batches:
            x[done : done + len(images)] = images
            y.append(labels)
            done += len(images)
        return Split(x, np.concatenate(y).astype(np.int32))

    def write(self, path: Path) -> np.ndarray:
        """Writes the images to a .npy file; returns the labels.

        The file is written, not mapped: with a mapped file, a full disk would kill the
        process with a signal instead of raising an error.
        """
        header, y = {"descr": "|u1", "fortran_order": False, "shape": self.shape}, []
        with files.replacing(path) as beside, beside.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for images, labels in self.batches:
                file.write(np.ascontiguousarray(images).data)
                y.append(labels)
        return np.concatenate(y).astype(np.int32)


def batch_size(shape: tuple[int, ...]) -> int:
    """Returns how many examples of this shape make a batch of moderate size."""
    return max(1, min(_BATCH, _BATCH_BYTES // math.prod(shape)))


@dataclasses.dataclass(frozen=True)
class Cache:
    """The decoded images of a dataset.

    Attributes:
        directory: directory of the images, ``FOLDER/NAME`` in the data directory.
        what: name of the dataset in messages.
        read_only: whether to leave the data directory unchanged, and use a temporary
            one instead.
    """

    directory: Path
    what: str
    read_only: bool = False

    def read(
        self, class_names: tuple[str, ...], train: Stream, test: Stream
    ) -> Contents:
        """Reads small splits into memory, and large ones through the cache."""
        if max(math.prod(train.shape), math.prod(test.shape)) > MAPPED_FROM:
            return self.make(lambda place: place.write(class_names, train, test))
        return Contents(train.read(), test.read(), class_names)

    def make(self, write: Callable[[Cache], None]) -> Contents:
        """Loads the cache; if there is none, calls ``write`` with the cache first."""
        if self._exists():
            return self.load()
        if self.read_only:
            with tempfile.TemporaryDirectory() as root:
                place = Path(root, FOLDER, self.directory.name)
                elsewhere = dataclasses.replace(self, directory=place, read_only=False)
                return elsewhere.make(write)
        with lock(self.directory.parents[1], self.directory.name):
            if not self._exists():
                write(self)
        return self.load()

    def _exists(self) -> bool:
        with reading(self.directory):
            return (self.directory / "labels.npz").exists()

    def write(
        self,
        class_names: tuple[str, ...],
        train: Stream,
        test: Stream,
        damaged: tuple[str, ...] = (),
    ) -> None:
        """Writes both splits and the class names, if the disk has room for them.

        ``damaged`` has the same meaning as in ``Contents``.
        """
        needed = (math.prod(train.shape) + math.prod(test.shape)) / 1e9
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.directory).free / 1e9
            if free < needed:
                raise RunError(
                    f"The images of {self.what!r} are decoded to {self.directory}. "
                    f"Needed there: {needed:,.1f} GB. Free: {free:,.1f} GB. Make room, "
                    "choose another --data_dir, or a smaller --image_size."
                )
            for left in self.directory.glob(files.BESIDE):  # from a killed process
                left.unlink()
            labels = {
                "train": train.write(self.directory / "train.npy"),
                "test": test.write(self.directory / "test.npy"),
                "class_names": np.array(class_names, str),
                "damaged": np.array(damaged, str),
            }
            with files.replacing(self.directory / "labels.npz") as beside:
                np.savez(beside, allow_pickle=False, **labels)
        except OSError as error:
            raise RunError(
                f"Writing decoded images to {self.directory} failed: "
                f"{error.strerror or error}. Make room, or choose another --data_dir."
            ) from error

    def load(self) -> Contents:
        """Loads the cache; large splits are mapped."""
        try:
            with np.load(self.directory / "labels.npz") as file:
                class_names, damaged = (
                    tuple(map(str, file[name])) for name in ("class_names", "damaged")
                )
                train, test = (
                    Split(_images(self.directory / f"{name}.npy"), file[name])
                    for name in ("train", "test")
                )
            for x, y in ((train.x, train.y), (test.x, test.y)):
                if len(x.shape) != 4 or x.shape != (*y.shape, *train.x.shape[1:]):
                    raise ValueError(f"images {x.shape} do not match labels {y.shape}")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(
                f"The decoded images in {self.directory} are damaged: {error}. Delete "
                "that directory to decode them again."
            ) from error
        return Contents(train, test, class_names, damaged)


def _images(path: Path) -> np.ndarray | MappedImages:
    return MappedImages(path) if path.stat().st_size > MAPPED_FROM else np.load(path)


@contextlib.contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """Keeps other processes from preparing a dataset of that name in ``root``."""
    guard = filelock.FileLock(root / f".{name}.lock", mode=0o666)  # may be shared
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = guard.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"Cannot write to the data directory {root}: {reason}."
        ) from error
    with held:
        yield
