"""Prepared TFDS data to arrays in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data import images, memory, names, prepare
from zoo.data.spec import Dataset, DataSpec, Split
from zoo.errors import RunError, UserError

_BATCH = 1000


def read_images(
    builder: tfds.core.DatasetBuilder,
    *,
    image_size: tuple[int, int] | None = None,
    name: str,
    source: str,
    fingerprint: str,
) -> Dataset:
    """Decodes both splits of a prepared dataset of labeled images.

    Args:
        builder: prepared.
        image_size: (height, width); default: the dataset's, or of the first image
            where images differ in size.
        name: for ``DataSpec.name``.
        source: for ``DataSpec.source``.
        fingerprint: for ``DataSpec.fingerprint``.

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
        memory.require(
            [(builder.info.splits[split].num_examples, *target) for split in splits],
            name,
        )
        train, test = (
            _read_split(builder, split, keys, target, resized) for split in splits
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
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
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
    image_key, label_key = keys
    wide = builder.info.features[image_key].np_dtype == np.uint16

    def fit(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = example[image_key]
        if wide:
            image = tf.cast(image // 256, tf.uint8)
        if resized:
            image = images.resize(images.to_channels(image, shape[2]), *shape[:2])
        return image, example[label_key]

    count = builder.info.splits[split].num_examples
    if not count:
        raise UserError(f"Dataset {builder.info.full_name!r}: {split} is empty.")
    x, y = memory.allocate((count, *shape)), np.empty(count, np.int32)
    dataset = _dataset(builder, split, keys).map(fit, tf.data.AUTOTUNE).batch(_BATCH)
    done = 0
    for image, label in dataset:
        x[done : done + len(label)] = image.numpy()
        y[done : done + len(label)] = label.numpy()
        done += len(label)
    return Split(x, y)
