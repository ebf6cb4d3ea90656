"""Datasets of TensorFlow Datasets: names, builders, preparing and reading."""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import io
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import naming, registered

from zoo.data.cache import FOLDER, Cache, Stream, batch_size, lock
from zoo.data.dataset import Contents, Dataset, Split
from zoo.errors import RunError, UserError, unknown

LINEAR_REGRESSION = "linear_regression"
OWN = ("digits", LINEAR_REGRESSION)  # prepared by builders of our own

Builder = tfds.core.DatasetBuilder

_PROBE_SECONDS = 3.0
_DEFAULT_SITE = "https://storage.googleapis.com/"
_GATEWAY_ERRORS = {407, 502, 503, 504}  # said by a proxy, not by the host


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silences TFDS's warnings, which are about its own old code or ours to handle.

    TFDS 4.9.10 warns on reading that ``FeatureConnector.dtype`` is deprecated, and
    when it is asked whether a dataset is prepared, that it is not.
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
    # Without ours, which are registered once they have been used.
    return frozenset(registered.list_imported_builders()) - {*OWN}


def base_name(dataset: str) -> str:
    """Returns ``emnist`` of ``emnist/letters:3.1.0``; "" of what is no such name."""
    try:
        name, _ = naming.parse_builder_name_kwargs(dataset)
    except Exception:  # Whatever its parser raises, it is not a name.
        return ""
    return "" if name.namespace else name.name


def exists(dataset: str, root: Path) -> bool:
    """Whether TFDS has such a dataset, or ``root`` has it from another's builder.

    Raises:
        UserError: TFDS has the dataset, but not in that configuration.
    """
    name = base_name(dataset)
    if not name or name in OWN or name not in names():
        return bool(name) and any((root / name).glob("**/dataset_info.json"))
    config = naming.parse_builder_name_kwargs(dataset)[1].get("config")
    configs = tfds.builder_cls(name).builder_configs
    if config and config not in configs:
        raise unknown(f"configuration of {name}", config, configs)
    return True


@_without_warnings()
def open_builder(dataset: str, root: Path) -> Builder:
    """Returns the builder of a name such as ``emnist/letters`` or ``mnist:3.0.1``.

    Raises:
        UserError: an unknown version, TFDS cannot construct the builder, or the
            dataset is not one of labeled images.
    """
    try:
        builder = tfds.builder(dataset, data_dir=root)
    except Exception as error:  # TFDS raises whatever its many builders raise.
        message = re.sub(r'^Failed to construct .*}": ', "", str(error).strip())
        message = (message.splitlines() or [type(error).__name__])[0][:300]
        raise UserError(f"TFDS cannot open {dataset!r}: {message}") from error
    _image_and_label(builder)
    return builder


def short_name(builder: Builder) -> str:
    """Returns the dataset's name with its configuration, fit for a file name."""
    config = builder.builder_config
    return builder.name if config is None else f"{builder.name}-{config.name}"


@_without_warnings()
def is_available(builder: Builder) -> bool:
    """Whether a dataset is prepared, or the host that it is downloaded from answers.

    Without a network, TFDS would try for minutes.
    """
    return builder.is_prepared() or is_reachable(_site(builder))


def host(builder: Builder) -> str:
    """Returns the host that ``is_available`` asks."""
    return urlsplit(_site(builder)).netloc


def offline_error(what: str, builder: Builder) -> RunError:
    """Says what to do about a dataset that can neither be read nor downloaded."""
    root = builder.data_dir_root
    return RunError(
        f"Dataset {what!r} is not prepared in {root} and cannot be downloaded (no "
        f"answer from {host(builder)}): prepare it on a machine with a network and "
        f"copy {root / builder.name}, pass a local directory as the dataset, "
        "or use --dataset=digits, which needs no network."
    )


def is_reachable(url: str, seconds: float = _PROBE_SECONDS) -> bool:
    """Whether the host of a URL answers one HEAD request, with whatever status.

    Proxies are used as the environment says (``https_proxy``, ``no_proxy``, ...), and
    a proxy's own error does not count.
    """
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            # Its own opener: the global one keeps the proxies of its first use.
            urllib.request.build_opener().open(request, timeout=seconds).close()
        except urllib.error.HTTPError as error:
            if error.code in _GATEWAY_ERRORS:
                return
        except (OSError, http.client.HTTPException, ValueError) as error:
            # TFDS checks certificates by a list of its own: here they are an answer.
            if not isinstance(getattr(error, "reason", error), ssl.SSLError):
                return
        answered.set()

    # Resolving a name obeys no timeout, and must not hold up the process.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def _site(builder: Builder) -> str:
    for url in builder.url_infos or ():
        parts = urlsplit(url)
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc}/"
    return _DEFAULT_SITE


def _image_and_label(builder: Builder) -> tuple[str, str]:
    """Returns the names of the image feature and of the label feature.

    Raises:
        UserError: the dataset is not one of labeled uint8 or uint16 images.
    """
    features = dict(getattr(builder.info.features, "items", dict)())
    keys = builder.info.supervised_keys
    if keys is None:
        items, kinds = features.items(), (tfds.features.Image, tfds.features.ClassLabel)
        keys = [key for kind in kinds for key, found in items if type(found) is kind]
    if len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (features.get(key) for key in keys)
        if (
            isinstance(label, tfds.features.ClassLabel)
            and len(getattr(image, "shape", None) or ()) == 3
            and image.np_dtype in (np.uint8, np.uint16)
            and image.shape[-1] in (1, 3, None)
        ):
            return keys[0], keys[1]
    described = ", ".join(
        f"{key} ({type(feature).__name__})" for key, feature in features.items()
    )
    raise UserError(
        f"Dataset {builder.info.full_name!r} is not one of labeled images with 1 or 3 "
        f"channels. Its features: {described}."
    )


def _prepare(builder: Builder, what: str, *, progress: bool, read_only: bool) -> None:
    """Downloads and prepares a dataset; one that is prepared is left as it is."""
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
    if not builder.info.splits:  # another process has prepared it meanwhile
        builder.info.read_from_directory(builder.data_path)


def _download_and_prepare(builder: Builder, what: str, progress: bool) -> None:
    (tfds.enable_progress_bar if progress else tfds.disable_progress_bar)()
    # TFDS prints where it prepares to, which belongs to the bars.
    silent = contextlib.redirect_stdout(io.StringIO())
    try:
        with contextlib.nullcontext() if progress else silent:
            builder.download_and_prepare()
    except Exception as error:  # from the network, the disk or one of many builders
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        reason = f"{type(error).__name__}: {reason}"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason = "no space is left on the disk"
        raise RunError(
            f"Preparing the dataset {what!r} in {builder.data_dir_root} failed: "
            f"{reason}"
        ) from error


@_without_warnings()
def read(
    builder: Builder,
    *,
    name: str,
    what: str,
    root: Path,
    image_size: tuple[int, int] | None,
    memory_limit: int | None,
    progress: bool,
    read_only: bool,
) -> Dataset:
    """Reads both splits of a dataset, preparing it first.

    Args:
        builder: of labeled images, or of x and y, float32 (n, 1) each.
        name: for ``DataSpec.name``.
        what: the dataset as the user named it, for messages.
        root: the data directory.
        image_size: as for ``zoo.data.load.Source.read``; so are the others.

    Raises:
        UserError: no train split, labels that are missing, or a data directory that
            cannot be written.
        RunError: preparing failed, or the data are damaged or do not fit in memory.
    """
    import tensorflow as tf

    _prepare(builder, what, progress=progress, read_only=read_only)
    full_name = builder.info.full_name
    about = {
        "name": name,
        "source": full_name,
        "fingerprint": full_name,
        "license": builder.info.redistribution_info.license or None,
        "citation": builder.info.citation or None,
    }
    try:
        if what == LINEAR_REGRESSION:
            about["fingerprint"] = builder.builder_config.name
            return Contents(_xy(builder, "train"), _xy(builder, "test")).describe(
                **about
            )
        shape = _image_shape(builder, image_size)
        streams = [_stream(builder, split, shape) for split in _split_names(builder)]
        key = "-".join([*full_name.split("/"), "x".join(map(str, shape))])
        cache = Cache(root / FOLDER / key, memory_limit, what, read_only)
        label = builder.info.features[_image_and_label(builder)[1]]
        classes = tuple(label.int2str(i) for i in range(label.num_classes))
        contents = cache.read(classes, *streams)
    except tf.errors.OpError as error:
        raise _damaged(what, builder, error) from error
    for which, split in (("train", contents.train), ("test", contents.test)):
        wrong = np.flatnonzero((split.y < 0) | (split.y >= label.num_classes))
        if wrong.size:
            raise UserError(
                f"Dataset {what!r}: label {split.y[wrong[0]]} at index {wrong[0]} of "
                f"the {which} split is out of range 0..{label.num_classes - 1}."
            )
    return contents.describe(**about)


def _split_names(builder: Builder) -> tuple[str, str]:
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


def _examples(builder: Builder, split: str, keys: tuple[str, str]):
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


def _xy(builder: Builder, split: str) -> Split:
    batches = list(
        _examples(builder, split, ("x", "y")).batch(1000).as_numpy_iterator()
    )
    return Split(*(np.concatenate([batch[key] for batch in batches]) for key in "xy"))


def _image_shape(
    builder: Builder, image_size: tuple[int, int] | None
) -> tuple[int, int, int]:
    """Returns the shape of all images: where they differ, that of the first one."""
    keys = _image_and_label(builder)
    height, width, channels = builder.info.features[keys[0]].shape
    if None in (height, width, channels):
        first = next(iter(_examples(builder, _split_names(builder)[0], keys).take(1)))
        stored = first[keys[0]].shape
        height, width = height or stored[0], width or stored[1]
        channels = channels or (3 if stored[2] >= 3 else 1)
    return (*(image_size or (height, width)), channels)


def _stream(builder: Builder, split: str, shape: tuple[int, int, int]) -> Stream:
    """Returns the images of a split, brought to a shape, and the labels."""
    count = builder.info.splits[split].num_examples
    if not count:
        raise UserError(f"Dataset {builder.info.full_name!r}: {split} is empty.")
    return Stream((count, *shape), _batches(builder, split, shape))


def _batches(
    builder: Builder, split: str, shape: tuple[int, int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    import tensorflow as tf

    from zoo.data import decode

    image_key, label_key = _image_and_label(builder)
    stored = builder.info.features[image_key]
    wide = stored.np_dtype == np.uint16
    resized = tuple(stored.shape) != shape

    def fit(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = example[image_key]
        if wide:
            image = tf.cast(image // 256, tf.uint8)
        if resized:
            image = decode.resize(decode.to_channels(image, shape[2]), *shape[:2])
        return image, example[label_key]

    examples = _examples(builder, split, (image_key, label_key))
    data = examples.map(fit, tf.data.AUTOTUNE).batch(batch_size(shape))
    yield from data.as_numpy_iterator()


def _damaged(what: str, builder: Builder, error: Exception) -> RunError:
    """Names the file that cannot be read, which TensorFlow's message does not."""
    import tensorflow as tf

    file = ""
    for path in sorted(Path(builder.data_dir).glob("*.tfrecord*")):
        records = tf.data.TFRecordDataset(str(path))
        try:
            for _ in records.map(builder.info.features.deserialize_example):
                pass
        except tf.errors.OpError as found:
            file, error = f"{path}: ", found
            break
    message = (error.message or str(error)).strip().splitlines()[0][:300]
    return RunError(
        f"The prepared data of {what!r} in {builder.data_dir} are damaged; delete that "
        f"directory to prepare them again: {file}{message}"
    )
