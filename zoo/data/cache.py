"""Decoded images in the data directory: written once as .npy files, read by index.

A cache is a directory with the images, such as ``train.npy`` and ``test.npy``, and
``labels.npz``, which is written last. A cache with that file is complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from zoo import files
from zoo.data.dataset import Contents, MappedImages, Split
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


def read(
    place: Path, class_names: tuple[str, ...], splits: Mapping[str, Stream]
) -> Contents:
    """Reads small splits into memory, and large ones through the cache ``place``.

    ``splits`` has the names train and test.
    """
    if max(math.prod(stream.shape) for stream in splits.values()) > MAPPED_FROM:
        return make(place, lambda: write(place, class_names, splits))
    found: dict[str, Any] = {name: stream.read() for name, stream in splits.items()}
    return Contents(**found, class_names=class_names)


def make(place: Path, write: Callable[[], None]) -> Contents:
    """Loads the cache ``place``; calls ``write`` first if there is none."""
    last = place / "labels.npz"
    if not files.exists(last):
        with lock(place.parents[1], place.name):
            if not last.exists():
                write()
    return load(place)


def write(
    place: Path,
    class_names: tuple[str, ...],
    splits: Mapping[str, Stream],
    damaged: tuple[str, ...] = (),
) -> None:
    """Writes the splits and the class names, if the disk has room for them.

    ``splits`` has the names train, test and maybe validation. ``damaged`` has the same
    meaning as in ``Contents``.
    """
    needed = sum(math.prod(stream.shape) for stream in splits.values())
    try:
        place.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(place).free) < needed:
            raise OSError(
                f"{needed / 1e9:,.1f} GB are needed, {free / 1e9:,.1f} GB are free"
            )
        for left in place.glob(files.BESIDE):  # from a killed process
            left.unlink()
        labels = {
            **{
                name: each.write(place / f"{name}.npy") for name, each in splits.items()
            },
            "class_names": np.array(class_names, str),
            "damaged": np.array(damaged, str),
        }
        with files.replacing(place / "labels.npz") as beside:
            np.savez(beside, allow_pickle=False, **labels)
    except OSError as error:
        raise RunError(
            f"Writing decoded images to {place} failed: {error.strerror or error}. "
            "Make room, or choose another --data_dir or a smaller --image_size."
        ) from error


def load(place: Path) -> Contents:
    """Loads the cache ``place``; large splits are mapped."""
    try:
        with np.load(place / "labels.npz") as file:
            splits = {
                name: Split(_images(place / f"{name}.npy"), file[name])
                for name in ("train", "test", "validation")
                if name != "validation" or name in file
            }
            class_names, damaged = (
                tuple(file[name].tolist()) for name in ("class_names", "damaged")
            )
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"The decoded images in {place} are damaged: {error}. Delete that "
            "directory to decode them again."
        ) from error
    return Contents(**splits, class_names=class_names, damaged=damaged)


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
