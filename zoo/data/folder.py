"""Trees of image files: one folder per class, with or without train and test."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from zoo import startup
from zoo.data import memory
from zoo.data.dataset import Contents, Split
from zoo.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0
_Example = tuple[Path, int]  # A file and its class index.


@dataclasses.dataclass(frozen=True)
class ImageTree:
    """Files and class indices of both splits, and the names of the classes."""

    class_names: tuple[str, ...]
    train: tuple[_Example, ...]
    test: tuple[_Example, ...]

    def paths(self) -> tuple[Path, ...]:
        """All files whose change means other data."""
        return tuple(path for path, _ in (*self.train, *self.test))

    def check(self) -> None:
        """Nothing beyond what ``scan`` has checked: images are checked when read."""

    def shapes(self, image_size: tuple[int, int] | None = None) -> list[tuple]:
        """Returns the shapes of both splits, (n, height, width, 3).

        Args:
            image_size: (height, width); default: the size of the first image.

        Raises:
            UserError: the first file does not decode.
        """
        _, size = _decoder(image_size, self.train[0][0])
        return [(len(examples), *size, 3) for examples in (self.train, self.test)]

    def read(self, image_size: tuple[int, int] | None = None) -> Contents:
        """Decodes every image to one size, gray if all of them are gray.

        Args:
            image_size: (height, width); default: the size of the first image.

        Raises:
            UserError: a file does not decode; the message names it.
            RunError: the images do not fit in memory.
        """
        memory.require(self.shapes(image_size), str(self.train[0][0].parents[1]))
        load, _ = _decoder(image_size, self.train[0][0])
        arrays, gray = [], True
        for paths in self._split_paths():
            pixels, split_gray = _decode_all(paths, load)
            arrays.append(pixels)
            gray = gray and split_gray
        if gray:
            arrays = [np.ascontiguousarray(pixels[..., :1]) for pixels in arrays]
        return self._contents(arrays)

    def stream(self, image_size: tuple[int, int] | None = None) -> Contents:
        """As ``read``, but the images of the splits are decoded one after the other.

        That is once more than ``read`` does it: the first time to find out whether
        every file decodes, and all of them are gray.
        """
        load, size = _decoder(image_size, self.train[0][0])
        colored = sum(
            not _is_gray(pixels) for pixels in Images(self.paths(), load, size, 3)
        )
        return self._contents(
            [
                Images(paths, load, size, 3 if colored else 1)
                for paths in self._split_paths()
            ]
        )

    def _split_paths(self) -> list[list[Path]]:
        return [[path for path, _ in split] for split in (self.train, self.test)]

    def _contents(self, images: Sequence[Any]) -> Contents:
        train, test = (
            Split(x, np.array([label for _, label in examples], np.int32))
            for x, examples in zip(images, (self.train, self.test), strict=True)
        )
        return Contents(train, test, self.class_names)


class Images:
    """Image files that are decoded one after the other.

    Args:
        paths: the files.
        load: from a file to uint8 (height, width, 3).
        size: (height, width).
        channels: 1 for images that are gray, or 3.

    Attributes:
        shape: of all of them, (n, height, width, channels).
    """

    def __init__(
        self,
        paths: Sequence[Path],
        load: Callable[[Path], np.ndarray],
        size: tuple[int, int],
        channels: int,
    ):
        self._paths, self._load = paths, load
        self.shape = (len(paths), *size, channels)

    def __iter__(self) -> Iterator[np.ndarray]:
        # TensorFlow says of its own what becomes our error.
        with startup.quiet_stderr():
            for pixels in _in_parallel(self._load, self._paths):
                yield pixels[..., : self.shape[3]]


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
    has_splits = {"train", "test"} & folders.keys() and (
        folders.keys() <= {"train", "test", "val", "validation"}
        or any(_folders(folders[name]) for name in {"train", "test"} & folders.keys())
    )
    if has_splits:
        return _scan_splits(root, folders)
    if not any(_images(path) for path in folders.values()):
        return None
    return _split(_classes(root))


def _scan_splits(root: Path, folders: dict[str, Path]) -> ImageTree:
    for name, other in (("train", "test"), ("test", "train")):
        if name not in folders:
            raise UserError(f"{root} has a folder {other} but no folder {name}.")
    train, test = _classes(folders["train"]), _classes(folders["test"])
    for name in test:
        if name not in train:
            raise UserError(
                f"{folders['test'] / name}: the class {name!r} is not in "
                f"{folders['train']}."
            )
    names = tuple(train)
    return ImageTree(
        names,
        tuple((path, names.index(name)) for name in names for path in train[name]),
        tuple((path, names.index(name)) for name in test for path in test[name]),
    )


def _classes(directory: Path) -> dict[str, list[Path]]:
    """Maps class names to image files, both in natural order."""
    folders = _folders(directory)
    if not folders:
        raise UserError(f"{directory} has no class folders.")
    for folder in folders:
        if folder.name != folder.name.strip() or len(folder.name.splitlines()) != 1:
            raise UserError(
                f"The class folder {str(folder)!r} has a name that labels.txt cannot "
                "hold: spaces at an end or a line break. Rename it."
            )
    classes = {folder.name: _images(folder) for folder in folders}
    for name, images in classes.items():
        if not images:
            raise UserError(
                f"The class folder {directory / name} has no images "
                f"({', '.join(EXTENSIONS)})."
            )
    return classes


def _split(classes: dict[str, list[Path]]) -> ImageTree:
    train: list[_Example] = []
    test: list[_Example] = []
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
    return _entries(directory, Path.is_dir)


def _images(directory: Path) -> list[Path]:
    return _entries(
        directory, lambda path: path.suffix.lower() in EXTENSIONS and path.is_file()
    )


def _entries(directory: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    try:
        paths = [path for path in directory.iterdir() if path.name[0] != "."]
        return [path for path in sorted(paths, key=_natural) if wanted(path)]
    except OSError as error:
        raise UserError(f"Cannot read {directory}: {error.strerror}.") from error


def _natural(path: Path) -> tuple:
    """Sorts "2" before "10"; the name itself decides between equals ("02", "2")."""
    parts = re.split(r"(\d+)", path.name)
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], path.name


def _decoder(
    image_size: tuple[int, int] | None, first: Path
) -> tuple[Callable[[Path], np.ndarray], tuple[int, int]]:
    """Returns the function from a file to uint8 (height, width, 3), and the size."""
    import tensorflow as tf

    from zoo.data import decode

    def native(path: Path) -> np.ndarray:
        data = decode.read_bytes(path)
        return tf.io.decode_image(data, expand_animations=False).numpy()

    if image_size is None:
        with startup.quiet_stderr():
            image_size = _named(native)(first).shape[:2]
    height, width = image_size

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def decoded(data: tf.Tensor) -> tf.Tensor:
        return decode.decode(data, height, width, 3)

    load = _named(lambda path: decoded(decode.read_bytes(path)).numpy())
    return load, (height, width)


def _named(load: Callable[[Path], np.ndarray]) -> Callable[[Path], np.ndarray]:
    """Makes a file that does not decode an error that names the file."""
    import tensorflow as tf

    def named(path: Path) -> np.ndarray:
        try:
            return load(path)
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from error
        except tf.errors.InvalidArgumentError as error:
            raise UserError(
                f"{path} does not decode as a PNG, JPEG, BMP or GIF image."
            ) from error

    return named


def _decode_all(
    paths: list[Path], load: Callable[[Path], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """Decodes files to uint8 (n, height, width, 3); tells if all of them are gray."""
    gray, result = True, None
    # TensorFlow says of its own what becomes our error.
    with startup.quiet_stderr():
        for i, pixels in enumerate(_in_parallel(load, paths)):
            if result is None:
                result = memory.allocate((len(paths), *pixels.shape))
            result[i] = pixels
            gray = gray and _is_gray(pixels)
    assert result is not None  # scan() returns no empty split.
    return result, gray


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _in_parallel(
    load: Callable[[Path], np.ndarray], paths: Iterable[Path]
) -> Iterator[np.ndarray]:
    """Maps in order by a few threads, a bounded number of images ahead."""
    paths = list(paths)
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(paths), 8):
            yield from pool.map(load, paths[start : start + 8])
