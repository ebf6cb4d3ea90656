"""Trees of image files: one folder per class, with or without train and test sets."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo import startup
from zoo.data import memory
from zoo.data.cache import Cache, Stream, batch_size
from zoo.data.dataset import Contents, check_native_size, reading
from zoo.errors import RunError, UserError

if TYPE_CHECKING:
    import tensorflow as tf

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
#: Part of the cache's name. It changes if the same files are decoded to other pixels.
DECODING = "upright"
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0
_SHOWN = 100  # damaged files that a message lists
_Example = tuple[str, int]  # a file and its class index


@dataclasses.dataclass(frozen=True)
class ImageTree:
    """The images of a tree.

    Attributes:
        class_names: names of the classes, in natural order.
        train: the files to train on, each with its class index.
        test: the files to test on, each with its class index.
        ignored: files and folders that are not hidden and belong to no class.
    """

    class_names: tuple[str, ...]
    train: tuple[_Example, ...]
    test: tuple[_Example, ...]
    ignored: tuple[str, ...] = ()

    def paths(self) -> list[str]:
        """Returns the files of both splits."""
        return [path for path, _ in (*self.train, *self.test)]

    def native_size(self, *, skip_damaged: bool = False) -> tuple[int, int]:
        """Returns the height and width of the first image.

        Args:
            skip_damaged: pass over damaged images, to the first one that decodes.

        Raises:
            UserError: the image is damaged, or too large to train on at its own size.
        """
        from zoo.data import decode

        with startup.quiet():
            for path in self.paths():
                try:
                    height, width = decode.read_image(path).shape[:2]
                except UserError:
                    if skip_damaged:
                        continue
                    break
                check_native_size(height, width, path)
                return height, width
            damaged = [*self._find_damaged().values()]
            if skip_damaged:
                raise UserError(f"No image decodes: {listed(damaged)}.")
            raise _damaged_error(damaged)

    def read(
        self, cache: Cache, image_size: tuple[int, int], *, skip_damaged: bool = False
    ) -> Contents:
        """Decodes all images once to one size; to gray if all of them are gray.

        Args:
            cache: the cache of the decoded images.
            image_size: (height, width).
            skip_damaged: leave out the files that do not decode.

        Raises:
            UserError: files do not decode; the message names them.
            RunError: the images do not fit in memory, or the cache cannot be written.
        """
        if not cache.exists():
            shapes = [(len(split), *image_size, 3) for split in (self.train, self.test)]
            memory.choose_mapped(shapes, cache.limit, cache.what)
        # Hides TensorFlow's messages about errors that are reported here in one line.
        with startup.quiet():
            contents = cache.make(
                lambda place: self._write(place, image_size, skip_damaged)
            )
        if contents.damaged and not skip_damaged:
            # The cache may be that of a copy in another place, with other paths.
            raise _damaged_error([*self._find_damaged().values()])
        return contents

    def _write(
        self, cache: Cache, image_size: tuple[int, int], skip_damaged: bool
    ) -> None:
        """Decodes all images; with ``skip_damaged``, all that are not damaged."""
        try:
            self._write_decoded(cache, image_size, ())
        except _DamageFoundError as error:
            damaged = self._find_damaged()
            if not damaged:
                raise RunError(f"Images cannot be decoded: {error}") from error
            if not skip_damaged:
                raise _damaged_error([*damaged.values()]) from error
            self._without(damaged)._write_decoded(
                cache, image_size, (*damaged.values(),)
            )

    def _write_decoded(
        self, cache: Cache, image_size: tuple[int, int], damaged: tuple[str, ...]
    ) -> None:
        for shape in ((*image_size, 1), (*image_size, 3)):
            train, test = (
                Stream((len(split), *shape), _batches(split, shape))
                for split in (self.train, self.test)
            )
            with contextlib.suppress(_ColorFoundError):
                return cache.write(self.class_names, train, test, damaged)

    def _find_damaged(self) -> dict[str, str]:
        """Returns the files that do not decode, each with a line that says why."""
        from zoo.data import decode

        def reason(path: str) -> str | None:
            try:
                decode.read_image(path)
            except UserError as error:
                return f"{path} {error}"
            return None

        paths = self.paths()
        with ThreadPoolExecutor(startup.cpus()) as pool:
            lines = zip(paths, pool.map(reason, paths), strict=True)
            return {path: line for path, line in lines if line}

    def _without(self, damaged: dict[str, str]) -> ImageTree:
        """Returns the tree without some files; raises UserError if a class is lost."""
        train, test = (
            tuple(example for example in split if example[0] not in damaged)
            for split in (self.train, self.test)
        )
        kept = {label for _, label in train}
        gone = [name for i, name in enumerate(self.class_names) if i not in kept]
        if gone or not test:
            what = (
                f"training images of the class {gone[0]!r}" if gone else "test images"
            )
            raise UserError(
                f"All {what} are damaged, so that --skip_damaged would leave none. "
                f"One of the damaged files: {next(iter(damaged.values()))}."
            )
        return dataclasses.replace(self, train=train, test=test)


class _ColorFoundError(Exception):
    """An image has colors in a tree whose images seemed to be gray."""


class _DamageFoundError(Exception):
    """An image does not decode. TensorFlow's message does not say which one."""


def _damaged_error(lines: Sequence[str]) -> UserError:
    count = "One image does" if len(lines) == 1 else f"{len(lines):,} images do"
    return UserError(
        f"{count} not decode: {listed(lines)}. Repair or remove what is damaged. "
        "To leave it out, pass --skip_damaged to train.py."
    )


def listed(lines: Sequence[str]) -> str:
    """Returns the first 100 of some lines about damaged files as one line."""
    more = f"; and {len(lines) - _SHOWN:,} more" if len(lines) > _SHOWN else ""
    return f"{'; '.join(lines[:_SHOWN])}{more}"


def kinds(paths: Sequence[str]) -> str:
    """Returns numbers of files by extension, such as ``3 .txt files, 1 folder``."""
    counts = collections.Counter(
        "folder" if os.path.isdir(path) else f"{Path(path).suffix.lower()} file".strip()  # noqa: PTH112
        for path in paths
    )
    return ", ".join(
        f"{count:,} {kind}{'s' if count > 1 else ''}"
        for kind, count in counts.most_common()
    )


def scan(root: Path) -> ImageTree | None:
    """Finds the images of a tree and checks its layout.

    The layout is ``train/CLASS/*`` with ``test/CLASS/*``, or ``CLASS/*``. The latter is
    split 80/20 within each class, in the same way on every machine.

    Returns:
        The tree, or None if no folder of the directory has an image.

    Raises:
        UserError: a class folder has no images, a split is missing, the test split has
            a class that the training split does not have, or a class that has to be
            split has one image.
    """
    listing = _list(root)
    folders = {path.name: path for path in map(Path, listing.folders)}
    splits = [path for name, path in folders.items() if name in ("train", "test")]
    has_splits = splits and (
        folders.keys() <= {"train", "test", "val", "validation"}
        or any(_list(path).folders for path in splits)
    )
    if has_splits:
        return _scan_splits(root, folders, listing.others)
    if any(_list(path).images for path in folders.values()):
        return _split(*_classes(root))
    return None


def _scan_splits(
    root: Path, folders: dict[str, Path], others: Sequence[str]
) -> ImageTree:
    for name, other in (("train", "test"), ("test", "train")):
        if name not in folders:
            raise UserError(f"{root} has a folder {other} but no folder {name}.")
    train, train_ignored = _classes(folders["train"])
    test, test_ignored = _classes(folders["test"])
    if more := [name for name in test if name not in train]:
        raise UserError(
            f"{folders['test'] / more[0]}: the class {more[0]!r} is not in "
            f"{folders['train']}."
        )
    labels = {name: label for label, name in enumerate(train)}
    splits = [
        tuple((path, labels[name]) for name in split for path in split[name])
        for split in (train, test)
    ]
    beside = [str(p) for n, p in folders.items() if n not in ("train", "test")]
    ignored = (*beside, *others, *train_ignored, *test_ignored)
    return ImageTree(tuple(train), splits[0], splits[1], ignored)


def _classes(directory: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Returns the image files by class name, in natural order, and ignored files."""
    listing, classes = _list(directory), {}
    # Images outside of class folders are ignored too.
    ignored = [*listing.images, *listing.others]
    for folder in map(Path, listing.folders):
        name = os.fsencode(folder.name).decode(errors="replace")
        if folder.name != name.strip() or len(name.splitlines()) != 1:
            raise UserError(
                f"The class folder {str(folder)!r} has a name that labels.txt cannot "
                "hold: spaces at an end, a line break or bytes that are not UTF-8. "
                "Rename it."
            )
        within = _list(folder)
        others = [*within.folders, *within.others]
        if not within.images:
            holds = f" It holds {kinds(others)}." if others else ""
            raise UserError(
                f"The class folder {folder} has no images ({', '.join(EXTENSIONS)})."
                f"{holds}"
            )
        classes[folder.name] = within.images
        ignored += others
    if not classes:
        raise UserError(f"{directory} has no class folders.")
    return classes, ignored


def _split(classes: dict[str, list[str]], ignored: Sequence[str]) -> ImageTree:
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
    return ImageTree(tuple(classes), tuple(train), tuple(test), tuple(ignored))


@dataclasses.dataclass(frozen=True)
class _Listing:
    """The entries of a directory that are not hidden, in natural order."""

    folders: list[str]
    images: list[str]
    others: list[str]


def _list(directory: Path) -> _Listing:
    listing = _Listing([], [], [])
    with reading(directory), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                listing.folders.append(entry.name)
            elif entry.name.lower().endswith(EXTENSIONS) and entry.is_file():
                listing.images.append(entry.name)
            else:
                listing.others.append(entry.name)
    # Strings, since making a Path takes as long as reading a small file.
    return _Listing(
        *(
            [f"{directory}/{name}" for name in sorted(names, key=_natural)]
            for names in dataclasses.astuple(listing)
        )
    )


def _natural(name: str) -> tuple:
    """Returns a sort key: "2" comes before "10"; equals ("02", "2") sort by name."""
    parts = re.split(r"(\d+)", name)
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], name


def _batches(
    examples: Sequence[_Example], shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decodes files in parallel; yields images and labels in order."""
    import tensorflow as tf

    from zoo.data.untuned import untuned

    height, width, channels = shape
    paths = [path for path, _ in examples]
    labels = np.array([label for _, label in examples], np.int32)
    data = (
        tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path in paths])
        .map(_decoder(height, width), startup.cpus())
        .batch(batch_size((height, width, 3)))
        .prefetch(1)
    )
    done = 0
    try:
        for images, gray in untuned(data).as_numpy_iterator():
            if channels == 1 and not gray.all():
                raise _ColorFoundError
            yield images[..., :channels], labels[done : done + len(images)]
            done += len(images)
    except tf.errors.OpError as error:
        raise _DamageFoundError(error.message) from error


@functools.lru_cache(maxsize=8)
def _decoder(height: int, width: int) -> Callable:
    """Returns a function from a path to uint8 RGB pixels and whether they are gray."""
    import tensorflow as tf

    from zoo.data import decode

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def decoded(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decode.decode(decode.read_file(path), height, width, 3)
        return image, tf.reduce_all(image == image[..., :1])

    return decoded
