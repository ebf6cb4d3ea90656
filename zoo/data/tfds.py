"""Datasets of TensorFlow Datasets: names, builders, preparing and reading."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import numpy as np
import requests
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import naming, registered

from zoo import files, startup
from zoo.data.builders import DIGITS, OWN
from zoo.data.builders.digits import Digits
from zoo.data.builders.linear_regression import LinearRegression, LineConfig
from zoo.data.cache import Cache, Stream, batch_size, lock
from zoo.data.dataset import Contents, Dataset, Split, dimensions
from zoo.errors import RunError, UserError, unknown

Builder: TypeAlias = tfds.core.DatasetBuilder

_DEFAULT_SITE = "https://storage.googleapis.com/"
_GATEWAY_ERRORS = {407, 502, 503, 504}  # said by a proxy, not by the host


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silences TFDS's warnings, which tell users nothing.

    TFDS 4.9.10 warns about its own use of ``FeatureConnector.dtype``, about a
    configuration that is not listed, and about a dataset that is not prepared.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@functools.cache
def names() -> frozenset[str]:
    """Lists TFDS's datasets. ``tfds.list_builders`` would ask the network too."""
    return frozenset(registered.list_imported_builders()) - {*OWN}


def parse(dataset: str) -> tuple[str, str | None]:
    """Splits ``emnist/letters:3.1.0`` into ``emnist`` and ``letters``.

    The first part is empty if ``dataset`` cannot be a name.
    """
    try:
        name, options = naming.parse_builder_name_kwargs(dataset)
    except Exception:  # whatever the parser raises: it is not a name
        return "", None
    return "" if name.namespace else name.name, options.get("config")


def exists(dataset: str, root: Path) -> bool:
    """Whether TFDS has a dataset, or another builder has prepared it in ``root``.

    Raises:
        UserError: TFDS has the dataset, but not in that configuration.
    """
    name, config = parse(dataset)
    if name not in names():
        is_own = name in OWN or not name
        found = not is_own and files.exists(root / name)
        return found and any((root / name).glob("**/dataset_info.json"))
    configs = tfds.builder_cls(name).builder_configs
    if config and config not in configs:
        raise unknown(f"configuration of {name}", config, configs)
    return True


@_without_warnings()
def open_own(name: str, root: Path, num_examples: int, seed: int) -> Builder:
    """Returns the builder of a dataset of the zoo's own.

    Raises:
        UserError: ``num_examples`` is below 1, or the seed is negative.
    """
    if name == DIGITS:
        return Digits(data_dir=root)
    if num_examples < 1 or seed < 0:
        raise UserError(
            "linear_regression needs num_examples of at least 1 and a seed of at "
            f"least 0. Received: num_examples={num_examples}, seed={seed}"
        )
    config = LineConfig(
        name=f"n{num_examples}-seed{seed}", num_examples=num_examples, seed=seed
    )
    return LinearRegression(data_dir=root, config=config)


@_without_warnings()
def open_builder(dataset: str, root: Path) -> Builder:
    """Returns the builder of a name such as ``emnist/letters`` or ``mnist:3.0.1``.

    Raises:
        UserError: the version is unknown, TFDS cannot make the builder, or the dataset
            does not consist of labeled images.
    """
    try:
        builder = tfds.builder(dataset, data_dir=root)
    except Exception as error:  # TFDS raises whatever its many builders raise.
        message = re.sub(r'^Failed to construct .*}": ', "", _first_line(error))
        raise UserError(f"TFDS cannot open {dataset!r}: {message}") from error
    _image_and_label(builder)
    return builder


@_without_warnings()
def silent_host(builder: Builder) -> str | None:
    """Returns the host of a needed download if it does not answer, else None.

    Without a network, TFDS would try for minutes.
    """
    if builder.is_prepared():
        return None
    sites = map(urlsplit, (*(builder.url_infos or ()), _DEFAULT_SITE))
    site = next(site for site in sites if site.netloc)
    return None if is_reachable(f"{site.scheme}://{site.netloc}/") else site.netloc


def is_reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether the host of a URL answers a HEAD request, with any status.

    Proxies are used as the environment says (``https_proxy``, ``no_proxy``, ...). An
    error of the proxy itself is no answer.
    """
    answers = []

    def ask() -> None:
        try:
            answer = requests.head(url, timeout=seconds, allow_redirects=True)
            answers.append(answer.status_code not in _GATEWAY_ERRORS)
        except requests.exceptions.SSLError:
            # TFDS checks certificates with its own list, so this is an answer.
            answers.append(True)
        except requests.RequestException:
            answers.append(False)

    # Resolving a host's name has no timeout, so a thread does it.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers == [True]


def _image_and_label(builder: Builder) -> tuple[str, str]:
    """Returns the names of the image and label features, or raises a UserError."""
    features = dict(getattr(builder.info.features, "items", dict)())
    keys = builder.info.supervised_keys
    if keys is None:
        items, kinds = features.items(), (tfds.features.Image, tfds.features.ClassLabel)
        keys = [key for kind in kinds for key, found in items if type(found) is kind]
    if len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (features.get(key) for key in keys)
        if (
            isinstance(label, tfds.features.ClassLabel)
            and image is not None
            and len(getattr(image, "shape", None) or ()) == 3
            and image.np_dtype in (np.uint8, np.uint16)
            and image.shape[-1] in (1, 3, None)
        ):
            return keys[0], keys[1]
    found = ", ".join(
        f"{key} ({type(each).__name__})" for key, each in features.items()
    )
    raise UserError(
        f"Dataset {builder.info.full_name!r} is not one of labeled images with 1 or 3 "
        f"channels. Its features: {found}."
    )


def _prepare(builder: Builder, what: str, *, progress: bool, read_only: bool) -> None:
    """Downloads and prepares a dataset, unless that has been done."""
    root = Path(builder.data_dir_root)
    if not builder.is_prepared():
        if read_only:
            raise UserError(
                f"{what} is not prepared in the data directory {root}, and only "
                "reading was asked for. Train with that --data_dir to prepare it."
            )
        with lock(root, builder.name):
            if not builder.is_prepared():
                _download_and_prepare(builder, what, progress)
    if not builder.info.splits:  # another process has prepared it in the meantime
        builder.info.read_from_directory(builder.data_path)


def _download_and_prepare(builder: Builder, what: str, progress: bool) -> None:
    (tfds.enable_progress_bar if progress else tfds.disable_progress_bar)()
    try:
        # TFDS prints where it writes; show that only with the progress bars.
        with contextlib.redirect_stdout(sys.stdout if progress else io.StringIO()):
            builder.download_and_prepare()
    except Exception as error:  # from the network, the disk or one of many builders
        reason = f"{type(error).__name__}: {_first_line(error)}"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason = "no space is left on the disk"
        raise RunError(
            f"Preparing the dataset {what!r} in {builder.data_dir_root} failed: "
            f"{reason}"
        ) from error


def _damaged_file(builder: Builder) -> str:
    """Returns the damaged file, which TensorFlow's message does not name."""
    import tensorflow as tf

    for path in sorted(Path(builder.data_dir).glob("*.tfrecord*")):
        records = tf.data.TFRecordDataset(str(path))
        try:
            for _ in records.map(builder.info.features.deserialize_example):
                pass
        except tf.errors.OpError:
            return f"{path}: "
    return ""


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


@_without_warnings()
def read(
    builder: Builder,
    cache: Callable[[str], Cache],
    image_size: tuple[int, int] | None,
    *,
    name: str,
    what: str,
    progress: bool = False,
    read_only: bool = False,
) -> Dataset:
    """Reads both splits of a dataset, preparing it first.

    Args:
        builder: builder of labeled images or of ``linear_regression``.
        cache: returns the cache of decoded images for a name.
        image_size: same as for ``zoo.data.load.Source.read``.
        name: the ``DataSpec.name``.
        what: the dataset as the user named it, for messages.
        progress: show TFDS's messages and progress bars.
        read_only: refuse to prepare the dataset.

    Raises:
        UserError: there is no train split, labels are missing, or the data directory
            cannot be written.
        RunError: preparing failed, or the data are damaged or do not fit in memory.
    """
    import tensorflow as tf

    _prepare(builder, what, progress=progress, read_only=read_only)
    info = builder.info
    fingerprint = info.full_name
    try:
        if isinstance(builder, LinearRegression):
            fingerprint = builder.builder_config.name
            contents = Contents(_xy(builder, "train"), _xy(builder, "test"))
        else:
            contents = _read_images(builder, cache, image_size)
    except tf.errors.OpError as error:
        raise RunError(
            f"The prepared data of {what!r} in {builder.data_dir} are damaged; delete "
            f"that directory to prepare them again: {_damaged_file(builder)}"
            f"{_first_line(error)}"
        ) from error
    return contents.describe(
        name=name,
        source=info.full_name,
        fingerprint=fingerprint,
        license=info.redistribution_info.license or None,
        citation=info.citation or None,
    )


def _read_images(
    builder: Builder,
    cache: Callable[[str], Cache],
    image_size: tuple[int, int] | None,
) -> Contents:
    name, keys = builder.info.full_name, _image_and_label(builder)
    splits = _split_names(builder)
    shape = _image_shape(builder, splits[0], keys, image_size)
    streams = [_stream(builder, split, keys, shape) for split in splits]
    classes = builder.info.features[keys[1]]
    class_names = tuple(classes.int2str(i) for i in range(classes.num_classes))
    kept = cache(f"{name.replace('/', '-')}-{dimensions(shape)}")
    contents = kept.read(class_names, *streams)
    for which, split in (("train", contents.train), ("test", contents.test)):
        wrong = np.flatnonzero((split.y < 0) | (split.y >= classes.num_classes))
        if wrong.size:
            raise UserError(
                f"Dataset {name!r}: label {split.y[wrong[0]]} at index {wrong[0]} of "
                f"the {which} split is out of range 0..{classes.num_classes - 1}."
            )
    return contents


def _split_names(builder: Builder) -> tuple[str, str]:
    """Returns the splits to train and to test on.

    They are train and test if both exist, or else train and validation, or else the
    first 80% and the last 20% of train.

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


def _examples(builder: Builder, split: str, keys: tuple[str, str]):
    """Returns the examples in file order, with only the features in ``keys``."""
    from zoo.data.untuned import untuned

    examples = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        read_config=tfds.ReadConfig(
            interleave_cycle_length=1,
            try_autocache=False,
            skip_prefetch=True,  # which may hold any number of decoded images
        ),
    )
    return untuned(examples)


def _xy(builder: Builder, split: str) -> Split:
    examples = _examples(builder, split, ("x", "y")).batch(1000)
    batches = list(examples.as_numpy_iterator())
    return Split(*(np.concatenate([batch[key] for batch in batches]) for key in "xy"))


def _image_shape(
    builder: Builder, split: str, keys: tuple[str, str], size: tuple[int, int] | None
) -> tuple[int, int, int]:
    """Returns the shape of all images, or of the first one if they differ."""
    height, width, channels = builder.info.features[keys[0]].shape
    if None in (height, width, channels):
        first = next(iter(_examples(builder, split, keys)))[keys[0]].shape
        height, width = height or first[0], width or first[1]
        channels = channels or (3 if first[2] >= 3 else 1)
    return (*(size or (height, width)), channels)


def _stream(
    builder: Builder, split: str, keys: tuple[str, str], shape: tuple[int, int, int]
) -> Stream:
    """Returns the images of a split, resized to a shape, and the labels."""
    import tensorflow as tf

    from zoo.data import decode

    count = builder.info.splits[split].num_examples
    if not count:
        raise UserError(f"Dataset {builder.info.full_name!r}: {split} is empty.")
    stored = builder.info.features[keys[0]]

    def fit(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = (example[key] for key in keys)
        if stored.np_dtype == np.uint16:
            image = tf.cast(image // 256, tf.uint8)
        if stored.shape != shape:
            image = decode.resize(decode.to_channels(image, shape[2]), *shape[:2])
        return image, label

    examples = _examples(builder, split, keys).map(fit, startup.cpus())
    return Stream((count, *shape), tfds.as_numpy(examples.batch(batch_size(shape))))
