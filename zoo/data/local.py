"""A local directory as a dataset: its layout and its contents."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from zoo import files
from zoo.data import folder, idx
from zoo.data.cache import Cache
from zoo.data.dataset import Dataset, dimensions, reading
from zoo.errors import UserError


@dataclasses.dataclass(frozen=True)
class Directory:
    """A directory whose layout is known.

    Attributes:
        path: the absolute path with links resolved.
        contents: the IDX files or the tree of images found there.
    """

    path: Path
    contents: idx.IdxFiles | folder.ImageTree

    @property
    def name(self) -> str:
        """The directory's name as a valid file name."""
        return re.sub(r"[^\w.-]+", "-", self.path.name).strip("-.") or "directory"

    @functools.cached_property
    def fingerprint(self) -> str:
        """``sha256:`` and a digest of the files' names and contents."""
        digest = hashlib.sha256()
        for name, path in self._files():
            # FileIO is fast to open and to read; there may be 60,000 files.
            with reading(path), io.FileIO(path) as file:
                content = hashlib.file_digest(file, "sha256")
            digest.update(name + b"\0" + content.digest())
        return f"sha256:{digest.hexdigest()}"

    def stat_digest(self) -> str:
        """Returns the digest of older versions: names, sizes, modification times."""
        digest = hashlib.sha256()
        for name, path in self._files():
            status = Path(path).stat()
            digest.update(b"%s\0%d\0%d\0" % (name, status.st_size, status.st_mtime_ns))
        return digest.hexdigest()[:16]

    def read(
        self,
        cache: Callable[[str], Cache],
        image_size: tuple[int, int] | None,
        *,
        skip_damaged: bool = False,
    ) -> Dataset:
        """Reads both splits; see ``zoo.data.tfds.read``, and ``ImageTree.read``."""
        if isinstance(self.contents, folder.ImageTree):
            # Refuse images that are too large before reading all of them.
            size = image_size or self.contents.native_size(skip_damaged=skip_damaged)
            name = f"{self._digest}-{dimensions(size)}-{folder.DECODING}"
            contents = self.contents.read(cache(name), size, skip_damaged=skip_damaged)
        else:
            text = dimensions(image_size) if image_size else "native"
            contents = self.contents.read(cache(f"{self._digest}-{text}"), image_size)
        return contents.describe(
            name=self.name, source=str(self.path), fingerprint=self.fingerprint
        )

    @property
    def _digest(self) -> str:
        return self.fingerprint[7:23]

    def _files(self) -> list[tuple[bytes, str]]:
        """Returns the files in order, each with its name relative to the directory."""
        start = len(os.fsencode(self.path)) + 1
        paths = sorted(self.contents.paths(), key=lambda path: path.split("/"))
        return [(os.fsencode(path)[start:], path) for path in paths]


def check_directory(path: str | os.PathLike[str]) -> Path:
    """Returns the absolute path of a directory that can be read and is not empty.

    Raises:
        UserError: it is missing, not a directory, empty or not readable.
    """
    directory = files.expanduser(path)
    with reading(path):
        if not directory.exists():
            raise UserError(f"The directory {path} does not exist.{hint(path)}")
        if not directory.is_dir():
            raise UserError(f"{path} is a file: give the directory that holds it.")
        if not any(directory.iterdir()):
            raise UserError(f"The directory {path} is empty.")
    return directory.resolve()


def hint(path: str | os.PathLike[str], names: Iterable[str] = ()) -> str:
    """Returns a sentence that suggests the nearest directory or name, or "".

    Args:
        path: path that does not exist.
        names: names that the user may have meant instead.
    """
    folders, missing = [], files.expanduser(path)
    with contextlib.suppress(OSError), os.scandir(missing.parent) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    find = functools.partial(difflib.get_close_matches, n=1, cutoff=0.7)
    close = [str(missing.with_name(name)) for name in find(missing.name, folders)]
    close += find(str(path), sorted(names))
    return f" Did you mean {close[0]!r}?" if close else ""


def open_directory(path: str | os.PathLike[str]) -> Directory:
    """Finds the layout of a directory without reading its contents.

    Raises:
        UserError: the layout is neither of the two, or has a mistake.
    """
    directory = check_directory(path)
    contents = idx.find(directory) or folder.scan(directory)
    if contents is None:
        raise UserError(
            f"{path} holds no dataset: expected four IDX files "
            "(train-images-idx3-ubyte, train-labels-idx1-ubyte, "
            "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, with or without .gz) or "
            "images in train/CLASS/ and test/CLASS/, or in CLASS/."
        )
    return Directory(directory, contents)
