"""Finds a dataset by its name or directory, and reads it.

A name is resolved once to a source, which is then read. TensorFlow is imported only for
reading, so a mistyped name is reported without it.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import files
from zoo.data import folder, local
from zoo.data.builders import DIGITS, OWN
from zoo.data.cache import FOLDER, Cache
from zoo.data.dataset import Dataset, DataSpec
from zoo.errors import RunError, UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

WELL_KNOWN = ("mnist", "fashion_mnist", "kmnist", "emnist/letters", "cifar10")
_SUBSTITUTED = ("mnist", "cifar10")  # defaults that digits may replace


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset that has been found and can be read.

    Attributes:
        requested: the requested name, or the default.
        used: the name of the dataset that is read.
        name: its short name, ``DataSpec.name``.
        reason: why ``used`` differs from ``requested``; None if it does not.
        root: the data directory.
        opened: TFDS's builder or the local directory; None for the zoo's own datasets.
    """

    requested: str
    used: str
    name: str
    reason: str | None
    root: Path
    opened: tfds.core.DatasetBuilder | local.Directory | None = None

    @property
    def directory(self) -> Path | None:
        """The absolute path of a local directory; None for a dataset with a name."""
        return self.opened.path if isinstance(self.opened, local.Directory) else None

    @property
    def tree(self) -> folder.ImageTree | None:
        """The tree of images in the directory; None for other datasets."""
        contents = getattr(self.opened, "contents", None)
        return contents if isinstance(contents, folder.ImageTree) else None

    def read(
        self,
        *,
        image_size: tuple[int, int] | None = None,
        num_examples: int = 1000,
        seed: int = 0,
        progress: bool = False,
        memory_limit: int | None = None,
        read_only: bool = False,
        skip_damaged: bool = False,
    ) -> Dataset:
        """Reads the dataset; the first of several processes prepares it.

        Args:
            image_size: (height, width) to which all images are stretched by bilinear
                interpolation with antialiasing. None for the size of the dataset or,
                if sizes differ, of the first image.
            num_examples: number of training examples of ``linear_regression``.
            seed: seed of ``linear_regression``, 0 or more.
            progress: show TFDS's messages and progress bars.
            memory_limit: in bytes; a split of images that needs more is mapped from
                disk. None to refuse a dataset that does not fit in memory.
            read_only: write nothing into the data directory.
            skip_damaged: leave out files of a tree of images that do not decode.

        Returns:
            uint8 images with int32 labels, in file order; or float32 x and y.

        Raises:
            UserError: there is a mistake in a local directory, a number is out of
                range, or the data directory cannot be written.
            RunError: downloading, preparing or reading failed.
        """
        _check_image_size(image_size)

        def cache(name: str) -> Cache:
            place = self.root / FOLDER / name
            return Cache(place, memory_limit, self.used, read_only)

        if isinstance(self.opened, local.Directory):
            return self.opened.read(cache, image_size, skip_damaged=skip_damaged)
        from zoo.data import tfds

        return tfds.read(
            self.opened or tfds.open_own(self.used, self.root, num_examples, seed),
            cache,
            image_size,
            name=self.name,
            what=self.used,
            progress=progress,
            read_only=read_only,
        )


def check_name(dataset: str, data_dir: str | None) -> None:
    """Checks that a dataset of that name, or such a directory, exists.

    Args:
        dataset: a name (``digits``, ``mnist``, ``emnist/letters``, ``mnist:3.0.1``)
            or the path of a local directory.
        data_dir: where prepared datasets are kept; None for TFDS's default.

    Raises:
        UserError: the name or configuration is unknown, or the directory is missing,
            empty or unreadable.
    """
    root = data_root(data_dir)
    if dataset in OWN:
        return
    if is_directory(dataset):
        local.check_directory(dataset)
        return
    from zoo.data import tfds

    if not tfds.exists(dataset, root):
        hint = local.hint(dataset, {*OWN, *WELL_KNOWN, *tfds.names()})
        if "/" in dataset and tfds.parse(dataset)[0] not in tfds.names():
            raise UserError(
                f"The directory {dataset} does not exist, and there is no dataset of "
                f"that name.{hint}"
            )
        raise UserError(
            f"Unknown dataset {dataset!r}. Known: {', '.join((*OWN, *WELL_KNOWN))}, "
            f"any other image-classification name of TFDS, or a local directory.{hint}"
        )


def open_dataset(
    dataset: str | None,
    *,
    default: str,
    data_dir: str | None,
    only_this: bool = False,
) -> Source:
    """Finds a dataset, before anything is written or downloaded.

    A dataset that was asked for by name is never replaced. If a default of
    ``_SUBSTITUTED`` is neither prepared nor reachable, ``digits`` takes its place, and
    ``Source.reason`` says why.

    Args:
        dataset: what the user asked for, or None.
        default: the name to use when ``dataset`` is None.
        data_dir: as for ``check_name``.
        only_this: no other dataset would do, so that no message suggests one.

    Raises:
        UserError: as for ``check_name``; or the version is unknown, the dataset does
            not consist of labeled images, or the layout of a directory has a mistake.
        RunError: the dataset is not prepared, and no host answers.
    """
    name = default if dataset is None else dataset
    check_name(name, data_dir)
    root = data_root(data_dir)
    if name in OWN:
        return Source(name, name, name, None, root)
    if is_directory(name):
        directory = local.open_directory(name)
        return Source(name, name, directory.name, None, root, directory)
    from zoo.data import tfds

    builder = tfds.open_builder(name, root)
    host = tfds.silent_host(builder)
    if host is None:
        short = "-".join(builder.info.full_name.split("/")[:-1])  # without the version
        return Source(name, name, short, None, root, builder)
    if dataset is not None or default not in _SUBSTITUTED:
        others = " Or use --dataset=digits or a local directory: no network is needed."
        raise RunError(
            f"Dataset {name!r} is not prepared in {root} and cannot be downloaded (no "
            f"answer from {host}). Prepare it on a machine with a network and copy it "
            f"to {root / builder.name}.{'' if only_this else others}"
        )
    reason = f"{name} is not prepared in {root}, and {host} does not answer"
    return Source(name, DIGITS, DIGITS, reason, root)


def load(name: str, *, data_dir: str | None = None, **options) -> Dataset:
    """Opens a dataset and reads it; the arguments are those of ``Source.read``."""
    return open_dataset(name, default=name, data_dir=data_dir).read(**options)


def same_data(source: Source, spec: DataSpec, recorded_fingerprint: str) -> bool:
    """Whether data have a recorded fingerprint.

    Args:
        source: where the data were read from.
        spec: the description of the data.
        recorded_fingerprint: an earlier ``DataSpec.fingerprint``. For local
            directories, older versions recorded a digest of names, sizes and
            modification times; it is compared with such a digest.
    """
    if spec.fingerprint == recorded_fingerprint:
        return True
    if not isinstance(source.opened, local.Directory):
        return False
    digest, _, size = recorded_fingerprint.partition("-")
    height, width = spec.input_shape[:2]
    return size in ("", f"{height}x{width}") and digest == source.opened.stat_digest()


def data_root(data_dir: str | None) -> Path:
    """Returns where prepared datasets are kept: ``data_dir`` or TFDS's default.

    Raises:
        UserError: ``data_dir`` is not a local path.
    """
    if data_dir is None:
        from tensorflow_datasets.core import constants

        return Path(constants.DATA_DIR).expanduser()
    if not data_dir or "://" in data_dir:
        raise UserError(f"data_dir must be a local directory. Received: {data_dir!r}")
    return files.expanduser(data_dir).absolute()


def is_directory(dataset: str) -> bool:
    """Whether the name stands for a local directory.

    It does if it starts like a path, or if it is not the name of a dataset and a file
    or directory of that name exists.
    """
    if dataset.startswith((".", "/", "~")):
        return True
    if not dataset or dataset in OWN or not os.path.lexists(dataset):
        return False
    from zoo.data import tfds

    return tfds.parse(dataset)[0] not in tfds.names()


def _check_image_size(image_size: tuple[int, int] | None) -> None:
    if image_size is not None and not (
        isinstance(image_size, tuple | list)
        and len(image_size) == 2
        and all(isinstance(side, int) and side >= 1 for side in image_size)
    ):
        raise UserError(
            "image_size must be a height and a width of at least 1. "
            f"Received: {image_size}"
        )


def find(dataset: str, data_dir: str | None = None) -> Source:
    """Finds a dataset."""
    return open_dataset(dataset, default=dataset, data_dir=data_dir)


def find_default(default: str, data_dir: str | None = None) -> Source:
    """Finds a default dataset."""
    return open_dataset(None, default=default, data_dir=data_dir)
