"""Reads the images and labels of a dataset that TFDS has prepared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo import startup
from zoo.data import cache, decode
from zoo.data.dataset import Contents, check_labels, dimensions
from zoo.data.source import Options, first_line
from zoo.errors import RunError, UserError


def read(
    builder: tfds.core.DatasetBuilder,
    keys: tuple[str, str],
    options: Options,
    caches: Path,
) -> Contents:
    """Reads both splits in file order, without other features.

    Args:
        builder: the prepared dataset.
        keys: names of the features with the image and with the label.
        options: how to read a dataset.
        caches: directory for decoded images that are larger than memory.
    """
    name = builder.info.full_name
    image, classes = (builder.info.features[key] for key in keys)
    class_names = tuple(classes.int2str(i) for i in range(classes.num_classes))
    splits = _splits(builder)

    def examples(split: str) -> tf.data.Dataset:
        whole = builder.as_dataset(
            split=split,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
            read_config=tfds.ReadConfig(
                interleave_cycle_length=1,
                try_autocache=False,
                skip_prefetch=True,  # which may hold any number of decoded images
            ),
        )
        return decode.untuned(whole.map(lambda each: tuple(each[key] for key in keys)))

    def fit(pixels: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if image.np_dtype == np.uint16:
            pixels = tf.cast(pixels // 256, tf.uint8)
        if image.shape != shape:
            pixels = decode.to_channels(pixels, shape[2])
            pixels = decode.resize(pixels, shape[0], shape[1], options.resize)
        return pixels, label

    def stream(split: str) -> cache.Stream:
        count = builder.info.splits[split].num_examples
        if not count:
            raise UserError(f"Dataset {name!r}: {split} is empty.")
        fitted = examples(split).map(fit, startup.cpus())
        batches = tfds.as_numpy(fitted.batch(cache.batch_size(shape)))
        return cache.Stream((count, *shape), batches)

    try:
        height, width, channels = image.shape
        if None in image.shape:
            first = next(iter(examples(splits[0])))[0].shape
            height, width = height or first[0], width or first[1]
            channels = channels or (3 if first[2] >= 3 else 1)
        shape = (*options.size_for(height, width), channels)
        stem = f"{name.replace('/', '-')}-{dimensions(shape)}{options.cache_suffix}"
        streams = {"train": stream(splits[0]), "test": stream(splits[1])}
        contents = cache.read(caches / stem, class_names, streams)
    except tf.errors.OpError as error:
        raise RunError(
            f"The prepared data of {name!r} in {builder.data_dir} are damaged; delete "
            f"that directory to prepare them again: {first_line(error)}"
        ) from error
    for which, y in (("train", contents.train.y), ("test", contents.test.y)):
        check_labels(y, len(class_names), f"{name}, split {which}")
    return contents


def _splits(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the splits to train and to test on.

    They are train and test if both exist, or else train and validation, or else the
    first 80% and the last 20% of train.
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
