"""A local directory as a dataset: what lies in it, and whether it has changed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from pathlib import Path

from zoo.data import folder, idx
from zoo.errors import UserError


@dataclasses.dataclass(frozen=True)
class LocalSource:
    """A directory whose layout is known.

    Attributes:
        path: the absolute path, links resolved.
        files: the IDX files or the image tree found there.
        digest: changes when a file's name, size or modification time does.
    """

    path: Path
    files: idx.IdxFiles | folder.ImageTree
    digest: str

    @property
    def is_idx(self) -> bool:
        """Whether these are IDX files; else it is a tree of images."""
        return isinstance(self.files, idx.IdxFiles)

    @property
    def name(self) -> str:
        """The directory's name, fit for a file name."""
        return re.sub(r"[^\w.-]+", "-", self.path.name).strip("-.") or "directory"

    def fingerprint(self, image_size: tuple[int, int] | None) -> str:
        """The digest; for image trees, which are stored resized, with the size."""
        if image_size is None or self.is_idx:
            return self.digest
        return f"{self.digest}-{image_size[0]}x{image_size[1]}"

    def config_name(self, image_size: tuple[int, int] | None) -> str:
        """Names the prepared copy: another path or changed files give another."""
        where = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]
        return f"{where}-{self.fingerprint(image_size)}"


def check_directory(path: str | os.PathLike[str]) -> Path:
    """Returns the absolute path of a directory that can be read and is not empty.

    Raises:
        UserError: it is missing, not a directory, empty or not readable.
    """
    directory = Path(path).expanduser()
    try:
        if not directory.exists():
            raise UserError(f"The directory {path} does not exist.")
        if not directory.is_dir():
            raise UserError(f"{path} is a file: give the directory that holds it.")
        if not any(directory.iterdir()):
            raise UserError(f"The directory {path} is empty.")
        return directory.resolve()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error


def open_directory(path: str | os.PathLike[str]) -> LocalSource:
    """Finds out which layout a directory has; contents are not read yet.

    Raises:
        UserError: neither of the two layouts, or one of them with a mistake.
    """
    directory = check_directory(path)
    files = idx.find(directory) or folder.scan(directory)
    if files is None:
        raise UserError(
            f"{path} holds no dataset: expected four IDX files "
            "(train-images-idx3-ubyte, train-labels-idx1-ubyte, "
            "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, with or without .gz) or "
            "images in train/CLASS/ and test/CLASS/, or in CLASS/."
        )
    return LocalSource(directory, files, _digest(directory, files.paths()))


def _digest(directory: Path, paths: tuple[Path, ...]) -> str:
    """Hashes names, sizes and modification times of a directory's files."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from error
        name = os.fsencode(path.relative_to(directory))
        digest.update(b"%s\0%d\0%d\0" % (name, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()[:16]
