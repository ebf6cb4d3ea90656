"""Finds a dataset by its name or directory, and reads it.

A dataset is found once, without TensorFlow, so that a mistyped name is reported at
once. TensorFlow is imported when the dataset is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import importlib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo import files
from zoo.data import folder, idx
from zoo.data.cache import FOLDER
from zoo.data.dataset import Dataset, dimensions, reading
from zoo.data.source import Options, Source, Unreachable
from zoo.errors import UserError

DIGITS = "digits"
#: The datasets that come with the zoo: the modules whose ``read`` returns them.
OWN = {
    DIGITS: "zoo.data.digits",
    "linear_regression": "zoo.data.linear_regression",
}
WELL_KNOWN = ("mnist", "fashion_mnist", "kmnist", "emnist/letters", "cifar10")
_SUBSTITUTED = ("mnist", "cifar10")  # defaults that digits may replace


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Source):
    """A dataset that comes with the zoo: arrays that are made when it is read."""

    @property
    def name(self) -> str:
        """The name by which it was found."""
        return self.used

    def _read(self, options: Options) -> Dataset:
        # Imported here, because scikit-learn and TensorFlow take seconds.
        return importlib.import_module(OWN[self.used]).read(options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Directory(Source):
    """A local directory with IDX files or a tree of images.

    Attributes:
        directory: the absolute path with links resolved.
        contents: the files that were found there.
    """

    directory: Path
    contents: idx.IdxFiles | folder.ImageTree

    @property
    def name(self) -> str:
        """The directory's name as a valid file name."""
        return re.sub(r"[^\w.-]+", "-", self.directory.name).strip("-.") or "directory"

    @functools.cached_property
    def fingerprint(self) -> str:
        """``sha256:`` and a digest of the files' names and contents."""
        start = len(os.fsencode(self.directory)) + 1
        digest = hashlib.sha256()
        for path in sorted(self.contents.paths(), key=lambda path: path.split("/")):
            # FileIO is fast to open and to read; there may be 60,000 files.
            with reading(path), io.FileIO(path) as file:
                content = hashlib.file_digest(file, "sha256")
            digest.update(os.fsencode(path)[start:] + b"\0" + content.digest())
        return f"sha256:{digest.hexdigest()}"

    def _read(self, options: Options) -> Dataset:
        # Imported here, because TensorFlow takes seconds.
        from zoo.data import images

        found = self.contents
        caches, digest = self.root / FOLDER, self.fingerprint[7:23]
        if isinstance(found, idx.IdxFiles):
            contents = found.read()
            native = contents.train.x.shape[1:3]
            if (size := options.size_for(*native)) != native:
                name = f"{digest}-{dimensions(size)}{options.cache_suffix}"
                contents = images.resize(contents, caches / name, size, options.resize)
        else:
            # Refuse images that are too large before reading all of them.
            size = images.size_of(found, options)
            name = f"{digest}-{dimensions(size)}-upright{options.cache_suffix}"
            contents = images.read(found, caches / name, size, options)
        return contents.describe(
            name=self.name, source=str(self.directory), fingerprint=self.fingerprint
        )


def find(name: str, data_dir: str | None = None) -> Source:
    """Finds a dataset, without TensorFlow and without a network.

    Args:
        name: a name (``digits``, ``mnist``, ``emnist/letters``, ``mnist:3.0.1``) or the
            path of a local directory.
        data_dir: where prepared datasets are kept; None for TFDS's default.
    """
    root = data_root(data_dir)
    if name in OWN:
        return Own(requested=name, used=name, root=root)
    if name.startswith((".", "/", "~")):
        return _find_directory(name, root)
    # Imported here, because TFDS takes a second.
    from zoo.data import tfds

    if tfds.exists(name, root):
        return tfds.TfdsSource(requested=name, used=name, root=root)
    if name and os.path.lexists(name):
        return _find_directory(name, root)
    hint = _hint(name, {*OWN, *WELL_KNOWN, *tfds.names()})
    raise UserError(
        f"Unknown dataset {name!r}. Known: {', '.join((*OWN, *WELL_KNOWN))}, any other "
        f"image-classification name of TFDS, or a local directory that exists.{hint}"
    )


def find_default(default: str, data_dir: str | None = None) -> Source:
    """Finds the default dataset of an architecture, or ``digits`` in its place.

    If mnist or cifar10 is neither prepared nor reachable, ``digits`` takes its place,
    and ``Source.reason`` says why.
    """
    source = find(default, data_dir)
    try:
        source.open()
    except Unreachable as error:
        if default not in _SUBSTITUTED:
            raise
        substitute = find(DIGITS, data_dir)
        return dataclasses.replace(substitute, requested=default, reason=error.reason)
    return source


def load(name: str, *, data_dir: str | None = None, **options: Any) -> Dataset:
    """Returns a dataset with ``.spec``, ``.train.x``, ``.train.y`` and ``.test``.

    Args:
        name: a TFDS name, ``digits``, ``linear_regression`` or a directory.
        data_dir: directory of prepared datasets; None for TFDS's default.
        **options: the fields of ``zoo.data.source.Options``, such as
            ``image_size=(32, 32)``.

    Raises:
        UserError: the name is unknown, or the files are not a dataset.
        RunError: the dataset is not on this machine and cannot be downloaded.
    """
    return find(name, data_dir).read(**options)


def data_root(data_dir: str | None) -> Path:
    """Returns where prepared datasets are kept: ``data_dir`` or TFDS's default."""
    if data_dir is None:
        default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
        return files.expanduser(default)
    if not data_dir or "://" in data_dir:
        raise UserError(f"data_dir must be a local directory. Received: {data_dir!r}")
    return files.expanduser(data_dir).absolute()


def _find_directory(name: str, root: Path) -> Directory:
    path = files.expanduser(name)
    with reading(path):
        if not path.exists():
            raise UserError(f"The directory {name} does not exist.{_hint(name)}")
        if not path.is_dir():
            raise UserError(f"{name} is a file: give the directory that holds it.")
        if not any(path.iterdir()):
            raise UserError(f"The directory {name} is empty.")
    directory = path.resolve()
    contents = idx.find(directory) or folder.scan(directory)
    if contents is None:
        raise UserError(
            f"{name} holds no dataset: expected four IDX files "
            "(train-images-idx3-ubyte, train-labels-idx1-ubyte, "
            "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, with or without .gz) or "
            "images in train/CLASS/ and test/CLASS/, with or without "
            "validation/CLASS/, or in CLASS/."
        )
    tree = contents if isinstance(contents, folder.ImageTree) else None
    return Directory(
        requested=name,
        used=name,
        root=root,
        directory=directory,
        contents=contents,
        is_tree=tree is not None,
        has_validation=bool(tree and tree.validation),
        ignored=tree.ignored if tree else (),
    )


def _hint(path: str, names: Iterable[str] = ()) -> str:
    """Returns a sentence that suggests the nearest directory or name, or ""."""
    folders, missing = [], files.expanduser(path)
    with contextlib.suppress(OSError), os.scandir(missing.parent) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    find = functools.partial(difflib.get_close_matches, n=1, cutoff=0.7)
    close = [str(missing.with_name(name)) for name in find(missing.name, folders)]
    close += find(path, sorted(names))
    return f" Did you mean {close[0]!r}?" if close else ""
