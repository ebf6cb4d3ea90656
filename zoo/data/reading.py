"""Prepared TFDS data to arrays in memory."""

from __future__ import annotations

import itertools
import json
import math
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo import files
from zoo.data import cache, decode, memory, names, prepare
from zoo.data.dataset import Contents, Dataset, DataSpec, Split
from zoo.errors import RunError, UserError

_ABOUT = "about.json"
_BATCH = 1000
_BATCH_BYTES = 32 * 2**20


def read_images(
    builder: tfds.core.DatasetBuilder,
    *,
    image_size: tuple[int, int] | None = None,
    name: str,
    source: str,
    fingerprint: str,
    memory_limit: int | None = None,
) -> Dataset:
    """Decodes both splits of a prepared dataset of labeled images.

    Args:
        builder: prepared.
        image_size: (height, width); default: the dataset's, or of the first image
            where images differ in size.
        name: for ``DataSpec.name``.
        source: for ``DataSpec.source``.
        fingerprint: for ``DataSpec.fingerprint``.
        memory_limit: bytes; a split that needs more stays on disk. None for no limit:
            what does not fit in memory is refused.

    Raises:
        UserError: not labeled images, no train split, or labels are missing.
        RunError: the data are damaged or do not fit in memory.
    """
    keys = names.image_and_label(builder)
    label = builder.info.features[keys[1]]
    shape = builder.info.features[keys[0]].shape
    try:
        target = _target_shape(builder, keys, image_size)
        resized = tuple(shape) != target
        splits = split_names(builder)
        shapes = [
            (builder.info.splits[split].num_examples, *target) for split in splits
        ]
        on_disk = _stay_on_disk(shapes, memory_limit, name)
        train, test = (
            _decoded(builder, role, split, keys, target, resized)
            if stays
            else _read_split(builder, split, keys, target, resized)
            for role, split, stays in zip(
                ("train", "test"), splits, on_disk, strict=True
            )
        )
    except tf.errors.OpError as error:
        raise _damaged(name, builder, error) from error
    for which, split in (("train", train), ("test", test)):
        wrong = np.flatnonzero((split.y < 0) | (split.y >= label.num_classes))
        if wrong.size:
            raise UserError(
                f"Dataset {name!r}: label {split.y[wrong[0]]} at index {wrong[0]} of "
                f"the {which} split is out of range 0..{label.num_classes - 1}."
            )
    spec = DataSpec(
        name=name,
        source=source,
        fingerprint=fingerprint,
        task="classification",
        input_shape=target,
        num_classes=label.num_classes,
        class_names=tuple(label.int2str(i) for i in range(label.num_classes)),
        num_train=len(train.y),
        num_test=len(test.y),
        license=builder.info.redistribution_info.license or None,
        citation=builder.info.citation or None,
    )
    return Dataset(spec, train, test)


def write_streamed(directory: Path, contents: Contents) -> None:
    """Writes decoded images to disk, for ``read_streamed``.

    Args:
        directory: where they are kept; nobody else may write there meanwhile.
        contents: both splits, whose images are read one after the other.

    Raises:
        UserError: a file cannot be read.
        RunError: the disk is full, or cannot be written.
    """
    splits = {"train": contents.train, "test": contents.test}
    for name, split in splits.items():
        path, size = directory / f"{name}.bin", math.prod(split.x.shape)
        cache.write(path, _in_batches(split), size)
    shapes = [split.x.shape for split in splits.values()]
    about = {"shapes": shapes, "classes": contents.class_names}
    files.write_json(directory / _ABOUT, about)


def is_streamed(directory: Path) -> bool:
    """Whether ``write_streamed`` has written all of its files."""
    names = (_ABOUT, "train.bin", "train.npy", "test.bin", "test.npy")
    return all((directory / name).exists() for name in names)


def read_streamed(
    directory: Path,
    *,
    name: str,
    source: str,
    fingerprint: str,
    memory_limit: int | None,
) -> Dataset:
    """Reads what ``write_streamed`` has written.

    Args:
        directory: where it has.
        name: for ``DataSpec.name``.
        source: for ``DataSpec.source``.
        fingerprint: for ``DataSpec.fingerprint``.
        memory_limit: bytes; a split that needs more stays on disk. None for no limit.

    Raises:
        RunError: what is there is damaged, or does not fit in memory.
    """
    about = directory / _ABOUT
    paths = [directory / f"{split}.bin" for split in ("train", "test")]
    try:
        content = json.loads(about.read_text(encoding="utf-8"))
        shapes = [tuple(map(int, shape)) for shape in content["shapes"]]
        class_names = tuple(map(str, content["classes"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{about} is damaged. Delete {directory}, and it is written anew."
        ) from error
    splits = [
        cache.read(path, shape) for path, shape in zip(paths, shapes, strict=True)
    ]
    on_disk = _stay_on_disk(shapes, memory_limit, name)
    train, test = (
        split if stays else Split(split.x[:], split.y)
        for split, stays in zip(splits, on_disk, strict=True)
    )
    spec = DataSpec(
        name=name,
        source=source,
        fingerprint=fingerprint,
        task="classification",
        input_shape=shapes[0][1:],
        num_classes=len(class_names),
        class_names=class_names,
        num_train=len(train.y),
        num_test=len(test.y),
    )
    return Dataset(spec, train, test)


def _stay_on_disk(
    shapes: list[tuple[int, ...]], memory_limit: int | None, name: str
) -> list[bool]:
    """Returns which splits are beyond the limit; the others must fit in memory."""
    on_disk = memory.beyond(shapes, memory_limit)
    memory.require(itertools.compress(shapes, map(operator.not_, on_disk)), name)
    return on_disk


def _in_batches(split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    images, size = iter(split.x), _batch_size(split.x.shape[1:])
    for first in range(0, len(split.y), size):
        some = list(itertools.islice(images, size))
        yield np.stack(some), split.y[first : first + size]


def read_regression(
    builder: tfds.core.DatasetBuilder, *, name: str, source: str, fingerprint: str
) -> Dataset:
    """Reads both splits of a prepared dataset of x and y, float32 (n, 1) each.

    Raises:
        RunError: the data are damaged.
    """
    splits = []
    try:
        for split in ("train", "test"):
            batches = list(_dataset(builder, split, ("x", "y")).batch(_BATCH))
            arrays = (np.concatenate([b[key].numpy() for b in batches]) for key in "xy")
            splits.append(Split(*arrays))
    except tf.errors.OpError as error:
        raise _damaged(name, builder, error) from error
    train, test = splits
    spec = DataSpec(
        name=name,
        source=source,
        fingerprint=fingerprint,
        task="regression",
        input_shape=(1,),
        num_classes=None,
        class_names=(),
        num_train=len(train.y),
        num_test=len(test.y),
    )
    return Dataset(spec, train, test)


def split_names(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the splits to train and to test on.

    Train and test where they exist, else train and validation, else the first 80%
    and the last 20% of train.

    Raises:
        UserError: there is no train split.
    """
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(
            f"Dataset {builder.info.full_name!r} has no split named train. Its splits: "
            f"{', '.join(splits) or 'none'}."
        )
    for name in ("test", "validation"):
        if name in splits:
            return "train", name
    return "train[:80%]", "train[80%:]"


def _damaged(name: str, builder: Any, error: Exception) -> RunError:
    """Names the file that TensorFlow's message does not name."""
    for path in sorted(Path(builder.data_dir).glob("*.tfrecord*")):
        try:
            for record in tf.data.TFRecordDataset(str(path)):
                builder.info.features.deserialize_example(record)
        except tf.errors.OpError as found:
            return prepare.damaged_error(name, builder.data_dir, found, path)
    return prepare.damaged_error(name, builder.data_dir, error)


def _dataset(builder: Any, split: str, keys: tuple[str, str]) -> tf.data.Dataset:
    """Returns the examples in file order, other features left undecoded."""
    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        read_config=tfds.ReadConfig(
            interleave_cycle_length=1,
            try_autocache=False,
            skip_prefetch=True,  # of as many decoded images as TensorFlow likes
        ),
    )


def _target_shape(
    builder: Any, keys: tuple[str, str], image_size: tuple[int, int] | None
) -> tuple[int, int, int]:
    height, width, channels = builder.info.features[keys[0]].shape
    if None in (height, width, channels):
        first = next(iter(_dataset(builder, split_names(builder)[0], keys).take(1)))
        stored = first[keys[0]].shape
        height, width = height or stored[0], width or stored[1]
        channels = channels or (3 if stored[2] >= 3 else 1)
    if image_size is not None:
        height, width = image_size
    return height, width, channels


def _read_split(
    builder: Any,
    split: str,
    keys: tuple[str, str],
    shape: tuple[int, int, int],
    resized: bool,
) -> Split:
    count = builder.info.splits[split].num_examples
    if not count:
        raise UserError(f"Dataset {builder.info.full_name!r}: {split} is empty.")
    x, y = memory.allocate((count, *shape)), np.empty(count, np.int32)
    done = 0
    for image, label in _batches(builder, split, keys, shape, resized):
        x[done : done + len(label)] = image
        y[done : done + len(label)] = label
        done += len(label)
    return Split(x, y)


def _decoded(
    builder: Any,
    role: str,
    split: str,
    keys: tuple[str, str],
    shape: tuple[int, int, int],
    resized: bool,
) -> Split:
    """Returns a split whose images stay on disk, decoded once beside the records."""
    name = f"{'x'.join(map(str, shape))}-{role}.bin"
    images = Path(builder.data_dir) / "decoded" / name
    count = builder.info.splits[split].num_examples
    if not decode.exists():
        with prepare.lock(Path(builder.data_dir_root), builder.name):
            if not decode.exists():
                batches = _batches(builder, split, keys, shape, resized)
                cache.write(images, batches, count * math.prod(shape))
    return cache.read(images, (count, *shape))


def _batches(
    builder: Any,
    split: str,
    keys: tuple[str, str],
    shape: tuple[int, int, int],
    resized: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    image_key, label_key = keys
    wide = builder.info.features[image_key].np_dtype == np.uint16

    def fit(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = example[image_key]
        if wide:
            image = tf.cast(image // 256, tf.uint8)
        if resized:
            image = decode.resize(decode.to_channels(image, shape[2]), *shape[:2])
        return image, example[label_key]

    size = _batch_size(shape)
    dataset = _dataset(builder, split, keys).map(fit, tf.data.AUTOTUNE).batch(size)
    for image, label in dataset:
        yield image.numpy(), label.numpy().astype(np.int32)


def _batch_size(shape: tuple[int, ...]) -> int:
    return max(1, min(_BATCH, _BATCH_BYTES // math.prod(shape)))
