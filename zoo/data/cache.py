"""Decoded images on disk, read by index: for datasets that are larger than memory.

A file of images of one size, one after the other, is all that random access needs:
image i begins at i times the size of one. It is read with ``pread``, not mapped, so
that what the system caches of it does not count as this process's memory.
"""

from __future__ import annotations

import io
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from zoo import files
from zoo.data.dataset import Split
from zoo.errors import RunError


class DiskImages:
    """uint8 images (n, height, width, channels) in a file; a part of it is an array.

    Args:
        path: the file.
        shape: of all of them.
        checksums: CRC-32 of each image, (n,).

    Raises:
        RunError: the file is not of that size, or cannot be opened.
    """

    dtype = np.dtype(np.uint8)
    #: Why images could not be read, once that has happened.
    failure: RunError | None = None

    def __init__(self, path: Path, shape: tuple[int, ...], checksums: np.ndarray):
        self.path = path
        self.shape = tuple(shape)
        self._checksums = checksums
        self._size = int(np.prod(shape[1:]))
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise RunError(f"Cannot read {path}: {error.strerror}.") from error
        found, expected = path.stat().st_size, self._size * shape[0]
        if found != expected:
            raise RunError(
                f"{path} is damaged: it has {found} bytes instead of {expected}. "
                "Delete it, and it is written anew."
            )
        # Neighbors in the file are not neighbors in a batch: nothing to read ahead.
        _advise(self._file.fileno(), 0, 0, "POSIX_FADV_RANDOM")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | int | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        return self.take(rows) if rows.ndim else self.take(rows[np.newaxis])[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Reads images.

        Args:
            indices: int (batch,), each 0 to n - 1.

        Returns:
            uint8 (batch, height, width, channels).

        Raises:
            RunError: the file cannot be read to the end, or an image is damaged.
        """
        result = np.empty((len(indices), *self.shape[1:]), np.uint8)
        rows = result.reshape(len(indices), self._size)
        offsets = [int(i) * self._size for i in indices]
        for offset in offsets:  # all are asked for before the first one is waited for
            _advise(self._file.fileno(), offset, self._size, "POSIX_FADV_WILLNEED")
        for index, row, offset in zip(indices, rows, offsets, strict=True):
            try:
                done = os.preadv(self._file.fileno(), [row], offset)
                reason = "it ends too early"
            except OSError as error:
                done, reason = 0, error.strerror
            if done == self._size and zlib.crc32(row) != self._checksums[index]:
                done, reason = 0, f"the checksum of image {index} differs"
            if done != self._size:
                raise RunError(
                    f"{self.path} cannot be read: {reason}. Delete it and run the same "
                    "command again: it is written anew."
                )
        return result

    def take_or_note(self, indices: np.ndarray) -> np.ndarray:
        """Reads images as ``take`` does, but only notes that they cannot be read.

        For TensorFlow, which makes pages of an error: ``check`` raises it afterwards.
        """
        try:
            return self.take(indices)
        except RunError as error:
            self.failure = error
            return np.zeros((len(indices), *self.shape[1:]), np.uint8)


def check(*splits: Split) -> None:
    """Raises the RunError that ``take_or_note`` has noted in one of the splits.

    To be called between the reading of a batch and the use of what came of it.
    """
    for split in splits:
        if failure := getattr(split.x, "failure", None):
            raise failure


def read(images: Path, shape: tuple[int, ...]) -> Split:
    """Opens a split that ``write`` has written.

    Args:
        images: the file of the images.
        shape: of all of them.

    Raises:
        RunError: the images or their labels are damaged, or cannot be read.
    """
    labels = images.with_suffix(".npy")
    try:
        table = np.load(labels, allow_pickle=False)
        if table.shape != (shape[0], 2) or table.dtype != np.int64:
            raise ValueError
    except OSError as error:
        raise RunError(f"Cannot read {labels}: {error.strerror}.") from error
    except (ValueError, EOFError) as error:
        raise RunError(
            f"{labels} is damaged. Delete it and {images.name}, and both are written "
            "anew."
        ) from error
    y, checksums = table.T
    return Split(DiskImages(images, shape, checksums), y.astype(np.int32))


def write(
    images: Path,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    size: int,
) -> None:
    """Writes batches of images and labels to two files, whole or not at all.

    Args:
        images: the file for ``DiskImages``; that of labels and checksums is beside it.
        batches: (images, labels).
        size: bytes of all images.

    Raises:
        RunError: the disk is full, or cannot be written.
    """
    try:
        images.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(images.parent).free
        if free < size:
            raise RunError(
                f"The dataset is larger than memory and is decoded to {images.parent}. "
                f"Needed there: {size / 1e9:,.1f} GB. Free: {free / 1e9:,.1f} GB. Make "
                "room, choose another --data_dir, or a smaller --image_size."
            )
        every = []
        with files.replacing(images) as beside:
            with beside.open("wb") as file:
                for pixels, classes in batches:
                    pixels = np.ascontiguousarray(pixels)
                    file.write(pixels.data)
                    checksums = [zlib.crc32(image) for image in pixels]
                    every.append(np.stack([classes, checksums], axis=1))
            text = io.BytesIO()
            np.save(text, np.concatenate(every).astype(np.int64), allow_pickle=False)
            files.write_bytes(images.with_suffix(".npy"), text.getvalue())
    except OSError as error:
        raise RunError(
            f"Writing decoded images to {images.parent} failed: "
            f"{error.strerror or error}. Make room, or choose another --data_dir."
        ) from error


def _advise(file: int, offset: int, length: int, advice: str) -> None:
    # macOS has no posix_fadvise; it is advice and no more.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, offset, length, getattr(os, advice))
