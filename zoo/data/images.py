"""Decodes the image files of a tree."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from zoo import startup
from zoo.data import cache, decode
from zoo.data.dataset import Contents, Split
from zoo.data.folder import Example, ImageTree, listed
from zoo.data.source import Options
from zoo.errors import RunError, UserError

_BATCH = 32  # images that are decoded together; few, so that a progress bar moves
_SAMPLE = 8  # images that are looked at to see whether a tree has colors
_MAX_NATIVE = 512  # largest side, in pixels, of images that are not resized


def size_of(tree: ImageTree, options: Options) -> tuple[int, int]:
    """Returns the height and width for all images, by the first one that decodes."""
    if options.image_size:
        return options.image_size
    with startup.quiet():
        for path in tree.paths():
            try:
                height, width = decode.read_image(path).shape[:2]
            except UserError:  # is reported when all of them are read
                continue
            size = options.size_for(height, width)
            if max(size) > _MAX_NATIVE:
                raise UserError(
                    f"The first image has {height}x{width} pixels ({path}): too large "
                    "to train on at its own size, which is taken up to "
                    f"{_MAX_NATIVE} pixels a side. Add --image_size=64 (coarse shapes, "
                    "fast) to --image_size=224 (fine details, slow)."
                )
            return size
        raise UserError(f"No image decodes: {listed([*_find_damaged(tree).values()])}.")


def read(
    tree: ImageTree,
    place: Path,
    image_size: tuple[int, int],
    options: Options,
) -> Contents:
    """Decodes all images once to one size; to gray if all of them are gray.

    The decoded images are kept in the cache ``place``. The error for files that do not
    decode names them.
    """

    def write() -> None:
        try:
            _write(tree, place, image_size, options)
        except tf.errors.OpError as error:  # does not say which image it is
            damaged = _find_damaged(tree)
            if not damaged:
                raise RunError(f"Images cannot be decoded: {error.message}") from error
            if not options.skip_damaged:
                raise _damaged_error(damaged) from error
            rest = tree.without(damaged)
            _write(rest, place, image_size, options, (*damaged.values(),))

    # Hides TensorFlow's messages about errors that are reported here in one line.
    with startup.quiet():
        contents = cache.make(place, write)
        if contents.damaged and not options.skip_damaged:
            # The cache may be that of a copy in another place, with other paths.
            raise _damaged_error(_find_damaged(tree))
    return contents


def resize(
    contents: Contents, place: Path, image_size: tuple[int, int], how: str
) -> Contents:
    """Resizes the images of IDX files; keeps them in ``place`` if they are large."""

    def stream(split: Split) -> cache.Stream:
        shape = (*image_size, *split.x.shape[3:])
        size = cache.batch_size(shape)
        batches = (
            (decode.resize(x, *image_size, how).numpy(), split.y[i * size :][:size])
            for i, x in enumerate(split.blocks(size))
        )
        return cache.Stream((len(split.y), *shape), batches)

    splits = {"train": stream(contents.train), "test": stream(contents.test)}
    return cache.read(place, contents.class_names, splits)


class _ColorFoundError(Exception):
    """An image has colors in a tree whose images seemed to be gray."""


def _write(
    tree: ImageTree,
    place: Path,
    image_size: tuple[int, int],
    options: Options,
    damaged: tuple[str, ...] = (),
) -> None:
    paths, how = tree.paths(), options.resize
    sample = paths[:: 1 + len(paths) // _SAMPLE]
    colored = any(_is_colored(path, image_size, how) for path in sample)
    for channels in (3,) if colored else (1, 3):
        shape = (*image_size, channels)
        bar = None
        if options.progress:
            print("Decoding the images, which is done once:", flush=True)
            bar = keras.utils.Progbar(len(paths), unit_name="image")
        splits = {
            name: cache.Stream((len(split), *shape), _batches(split, shape, how, bar))
            for name, split in tree.splits().items()
        }
        with contextlib.suppress(_ColorFoundError):
            return cache.write(place, tree.class_names, splits, damaged)


def _is_colored(path: str, image_size: tuple[int, int], how: str) -> bool:
    """Whether an image has colors, so that reading the tree as gray would be in vain.

    An image that does not decode has none; it is reported when all of them are read.
    """
    try:
        _, gray = _decoded(os.fsencode(path), image_size, how)
    except tf.errors.OpError:
        return False
    return not gray


def _decoded(
    path: bytes | tf.Tensor, image_size: tuple[int, int], how: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the RGB of a file, and whether it is gray."""
    image = decode.decode(tf.io.read_file(path), *image_size, 3, how)
    return image, tf.reduce_all(image == image[..., :1])


def _batches(
    examples: Sequence[Example],
    shape: tuple[int, int, int],
    how: str,
    bar: keras.utils.Progbar | None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decodes files in parallel; yields images and labels in order."""
    height, width, channels = shape

    @tf.autograph.experimental.do_not_convert
    def decoded(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _decoded(path, (height, width), how)

    labels = np.array([label for _, label in examples], np.int32)
    data = (
        tf.data.Dataset.from_tensor_slices([os.fsencode(path) for path, _ in examples])
        .map(decoded, startup.cpus())
        .batch(min(_BATCH, cache.batch_size((height, width, 3))))
        .prefetch(1)
    )
    done = 0
    for images, gray in decode.untuned(data).as_numpy_iterator():
        if channels == 1 and not gray.all():
            raise _ColorFoundError
        yield images[..., :channels], labels[done : done + len(images)]
        done += len(images)
        if bar:
            bar.add(len(images))


def _find_damaged(tree: ImageTree) -> dict[str, str]:
    """Returns the files that do not decode, each with a line that says why."""

    def reason(path: str) -> str | None:
        try:
            decode.read_image(path)
        except UserError as error:
            return f"{path} {error}"
        return None

    with ThreadPoolExecutor(startup.cpus()) as pool:
        paths = tree.paths()
        lines = zip(paths, pool.map(reason, paths), strict=True)
        return {path: line for path, line in lines if line}


def _damaged_error(damaged: Mapping[str, str]) -> UserError:
    lines = [*damaged.values()]
    count = "One image does" if len(lines) == 1 else f"{len(lines):,} images do"
    return UserError(
        f"{count} not decode: {listed(lines)}. Repair or remove what is damaged. "
        "To leave it out, pass --skip_damaged to train.py."
    )
