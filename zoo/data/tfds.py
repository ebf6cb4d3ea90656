"""Datasets of TensorFlow Datasets: names, builders, preparing and reading."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import numpy as np
import requests
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import naming, registered

from zoo import files
from zoo.data.cache import FOLDER, lock
from zoo.data.dataset import Dataset
from zoo.data.source import Options, Source, Unreachable, first_line
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
    return frozenset(registered.list_imported_builders())


def exists(dataset: str, root: Path) -> bool:
    """Whether TFDS has a dataset, or another builder has prepared it in ``root``."""
    try:  # splits emnist/letters:3.1.0 into the name emnist and the config letters
        parsed, options = naming.parse_builder_name_kwargs(dataset)
    except Exception:  # whatever the parser raises: it is not a name
        return False
    name, config = parsed.name, options.get("config")
    if parsed.namespace or not name:
        return False
    if name not in names():
        place = root / name
        return files.exists(place) and any(place.glob("**/dataset_info.json"))
    configs = tfds.builder_cls(name).builder_configs
    if config and config not in configs:
        raise unknown(f"configuration of {name}", config, configs)
    return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfdsSource(Source):
    """A dataset of labeled images that TFDS has, or that is prepared in ``root``."""

    @property
    def name(self) -> str:
        """The full name without the version, as a valid file name."""
        return "-".join(self._builder.info.full_name.split("/")[:-1])

    def open(self) -> None:
        """See ``Source.open``."""
        _ = self._builder

    @functools.cached_property
    @_without_warnings()
    def _builder(self) -> Builder:
        """The builder, which is prepared or can be."""
        try:
            builder = tfds.builder(self.used, data_dir=self.root)
        except Exception as error:  # TFDS raises whatever its many builders raise.
            message = re.sub(r'^Failed to construct .*}": ', "", first_line(error))
            raise UserError(f"TFDS cannot open {self.used!r}: {message}") from error
        _image_and_label(builder)
        # Without a network, TFDS would try for minutes.
        host = None if builder.is_prepared() else silent_host(builder)
        if host is not None:
            raise Unreachable(
                f"{self.used} is not prepared in {self.root}, and {host} does not "
                "answer",
                "Prepare it on a machine with a network and copy it to "
                f"{self.root / builder.name}.",
            )
        return builder

    @_without_warnings()
    def _read(self, options: Options) -> Dataset:
        # Imported here, because TensorFlow takes seconds.
        from zoo.data import prepared

        builder = self._builder
        if not builder.is_prepared():
            with lock(self.root, builder.name):
                if not builder.is_prepared():
                    self._download_and_prepare(options.progress)
        info = builder.info
        if not info.splits:  # another process has prepared it in the meantime
            info.read_from_directory(builder.data_path)
        keys, caches = _image_and_label(builder), self.root / FOLDER
        return prepared.read(builder, keys, options, caches).describe(
            name=self.name,
            source=info.full_name,
            fingerprint=info.full_name,
            license=info.redistribution_info.license or None,
            citation=info.citation or None,
        )

    def _download_and_prepare(self, progress: bool) -> None:
        (tfds.enable_progress_bar if progress else tfds.disable_progress_bar)()
        try:
            # TFDS prints where it writes; show that only with the progress bars.
            with contextlib.redirect_stdout(sys.stdout if progress else io.StringIO()):
                self._builder.download_and_prepare()
        except Exception as error:  # from the network, the disk or one of many builders
            raise RunError(
                f"Preparing the dataset {self.used!r} in {self.root} failed: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error


def silent_host(builder: Builder) -> str | None:
    """Returns the host of the download if it does not answer, else None."""
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
