"""Trees of image files: one folder per class, with or without train and test."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo import startup
from zoo.data import memory
from zoo.data.cache import Cache, Stream, batch_size
from zoo.data.dataset import Contents, reading
from zoo.errors import RunError, UserError

if TYPE_CHECKING:
    import tensorflow as tf

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0
_Example = tuple[str, int]  # a file and its class index


@dataclasses.dataclass(frozen=True)
class ImageTree:
    """Files and class indices of both splits, and the names of the classes."""

    class_names: tuple[str, ...]
    train: tuple[_Example, ...]
    test: tuple[_Example, ...]

    def paths(self) -> list[str]:
        """All files whose change means other data."""
        return [path for path, _ in (*self.train, *self.test)]

    def read(self, cache: Cache, image_size: tuple[int, int] | None = None) -> Contents:
        """Decodes every image to one size, once; gray if all of them are gray.

        Args:
            cache: where the decoded images are kept.
            image_size: (height, width); default: the size of the first image.

        Raises:
            UserError: a file does not decode; the message names it.
            RunError: the images do not fit in memory, or the cache cannot be written.
        """
        if cache.exists():
            return cache.load()
        # The filter takes out what TensorFlow says of errors that become ours.
        with startup.quiet_stderr():
            height, width = image_size or _decode(self.train[0][0]).shape[:2]
            splits = (self.train, self.test)
            shapes = [(len(split), height, width, 3) for split in splits]
            memory.choose_mapped(shapes, cache.limit, cache.what)
            return cache.make(lambda place: self._write(place, height, width))

    def _write(self, cache: Cache, height: int, width: int) -> None:
        for shape in ((height, width, 1), (height, width, 3)):
            train, test = (
                Stream((len(split), *shape), _batches(split, shape))
                for split in (self.train, self.test)
            )
            with contextlib.suppress(_ColorFoundError):
                return cache.write(self.class_names, train, test)


class _ColorFoundError(Exception):
    """An image of a tree that was taken for gray is not."""


def scan(root: Path) -> ImageTree | None:
    """Finds the images of a tree and checks its layout.

    ``train/CLASS/*`` with ``test/CLASS/*``, or ``CLASS/*``, which is split 80/20
    within each class, the same way on every machine.

    Returns:
        The tree, or None when no folder of the directory holds an image.

    Raises:
        UserError: a class folder without images, a split that is missing, a class
            that only test has, or a class of one image where a split is needed.
    """
    folders = {path.name: path for path in _folders(root)}
    splits = [path for name, path in folders.items() if name in ("train", "test")]
    has_splits = splits and (
        folders.keys() <= {"train", "test", "val", "validation"}
        or any(map(_folders, splits))
    )
    if has_splits:
        return _scan_splits(root, folders)
    if any(map(_images, folders.values())):
        return _split(_classes(root))
    return None


def _scan_splits(root: Path, folders: dict[str, Path]) -> ImageTree:
    for name, other in (("train", "test"), ("test", "train")):
        if name not in folders:
            raise UserError(f"{root} has a folder {other} but no folder {name}.")
    train, test = _classes(folders["train"]), _classes(folders["test"])
    if more := [name for name in test if name not in train]:
        raise UserError(
            f"{folders['test'] / more[0]}: the class {more[0]!r} is not in "
            f"{folders['train']}."
        )
    labels = {name: label for label, name in enumerate(train)}
    splits = (
        tuple((path, labels[name]) for name in split for path in split[name])
        for split in (train, test)
    )
    return ImageTree(tuple(train), *splits)


def _classes(directory: Path) -> dict[str, list[str]]:
    """Maps class names to image files, both in natural order."""
    classes = {}
    for folder in _folders(directory):
        name = os.fsencode(folder.name).decode(errors="replace")
        if folder.name != name.strip() or len(name.splitlines()) != 1:
            raise UserError(
                f"The class folder {str(folder)!r} has a name that labels.txt cannot "
                "hold: spaces at an end, a line break or bytes that are not UTF-8. "
                "Rename it."
            )
        classes[folder.name] = _images(folder)
        if not classes[folder.name]:
            raise UserError(
                f"The class folder {folder} has no images ({', '.join(EXTENSIONS)})."
            )
    if not classes:
        raise UserError(f"{directory} has no class folders.")
    return classes


def _split(classes: dict[str, list[str]]) -> ImageTree:
    train, test = [], []
    for label, (name, images) in enumerate(classes.items()):
        if len(images) < 2:
            raise UserError(
                f"The class {name!r} has one image ({images[0]}): splitting into "
                "train and test needs two."
            )
        count = max(1, round(len(images) * _TEST_FRACTION))
        order = np.random.default_rng([_SPLIT_SEED, label]).permutation(len(images))
        chosen = set(order[:count].tolist())
        for i, path in enumerate(images):
            (test if i in chosen else train).append((path, label))
    return ImageTree(tuple(classes), tuple(train), tuple(test))


def _folders(directory: Path) -> list[Path]:
    return [directory / name for name in _entries(directory, os.DirEntry.is_dir)]


def _images(directory: Path) -> list[str]:
    def is_image(entry: os.DirEntry) -> bool:
        return entry.name.lower().endswith(EXTENSIONS) and entry.is_file()

    # Not as Path, which takes as long to make as a small file to read.
    return [f"{directory}/{name}" for name in _entries(directory, is_image)]


def _entries(directory: Path, wanted: Callable[[os.DirEntry], bool]) -> list[str]:
    """Returns the names that are wanted, in natural order, without hidden files."""
    with reading(directory), os.scandir(directory) as entries:
        names = [e.name for e in entries if e.name[0] != "." and wanted(e)]
    return sorted(names, key=_natural)


def _natural(name: str) -> tuple:
    """Sorts "2" before "10"; the name itself decides between equals ("02", "2")."""
    parts = re.split(r"(\d+)", name)
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], name


def _batches(
    examples: Sequence[_Example], shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decodes files in parallel and in order; yields images and labels."""
    import tensorflow as tf

    height, width, channels = shape
    paths = [path for path, _ in examples]
    labels = np.array([label for _, label in examples], np.int32)
    data = (
        tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
        .map(_decoder(height, width), tf.data.AUTOTUNE)
        .batch(batch_size((height, width, 3)))
        .prefetch(1)
    )
    done = 0
    try:
        for images, gray in data.as_numpy_iterator():
            if channels == 1 and not gray.all():
                raise _ColorFoundError
            yield images[..., :channels], labels[done : done + len(images)]
            done += len(images)
    except tf.errors.OpError as error:
        for path in paths[done:]:
            _decode(path)  # names the file, which TensorFlow's error does not
        raise RunError(f"{paths[done]} cannot be decoded: {error.message}") from error


@functools.lru_cache(maxsize=8)
def _decoder(height: int, width: int) -> Callable:
    """Returns the function from a path to uint8 RGB and whether all of it is gray."""
    import tensorflow as tf

    from zoo.data import decode

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def decoded(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decode.decode(decode.read_file(path), height, width, 3)
        return image, tf.reduce_all(image == image[..., :1])

    return decoded


def _decode(path: str) -> tf.Tensor:
    """Decodes one file, or raises the UserError that names it."""
    import tensorflow as tf

    from zoo.data import decode

    try:
        with reading(path):
            data = decode.read_bytes(path)
        return tf.io.decode_image(data, expand_animations=False)
    except tf.errors.OpError as error:
        raise UserError(
            f"{path} does not decode as a PNG, JPEG, BMP or GIF image."
        ) from error
