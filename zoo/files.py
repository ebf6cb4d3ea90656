"""Finds files, writes them completely or not at all, and reads and checks JSON."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zoo.errors import UserError

#: Matches the temporary names that ``replacing`` writes to.
BESIDE = f".*.{'[0-9a-f]' * 8}.*"


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether a path exists; False for a name that is too long."""
    try:
        return pathlib.Path(path).exists()
    except OSError:  # before Python 3.12
        return False


def expanduser(path: str | os.PathLike[str]) -> pathlib.Path:
    """Replaces ``~`` by the home directory, unless there is no such user."""
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        return pathlib.Path(path)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside ``path``, and renames it to ``path`` at the end.

    After a power failure or an error in the block, either the old file or the complete
    new one is there. The temporary path has the same suffix, because Keras chooses the
    format of a file by its suffix.
    """
    beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield beside
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _sync(path: pathlib.Path) -> None:
    """Waits until the content of a file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file completely or not at all, see ``replacing``."""
    with replacing(path) as beside:
        beside.write_bytes(content)


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes indented JSON like ``write_bytes``; raises ValueError for NaN."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(
    path: pathlib.Path, check: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Reads a JSON object that the zoo wrote and that users may have edited.

    Args:
        path: the file.
        check: function that raises KeyError, TypeError, ValueError or AttributeError if
            a value that the caller needs is missing or wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # encode() raises for lone surrogates, which can be neither printed nor written.
        json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Is {path.parent} a run?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from None
    try:
        if not isinstance(content, dict):
            raise TypeError("it must be a JSON object")
        check(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(f"{path} has been edited: {what}.") from None
    return content


def check_texts(content: Any, *keys: str | int) -> None:
    """Raises KeyError or TypeError unless the values of these keys are strings."""
    for key in keys:
        if not isinstance(content[key], str):
            raise TypeError(f"{key} must be text. Received: {str(content[key])[:80]}")


def check_numbers(content: Any, *keys: str | int, whole: bool = False) -> None:
    """Raises KeyError, TypeError or ValueError if a value is not a finite number."""
    kinds = int if whole else (int, float)
    for key in keys:
        value = content[key]
        if isinstance(value, bool) or not isinstance(value, kinds):
            kind = "a whole number" if whole else "a number"
            raise TypeError(f"{key} must be {kind}. Received: {str(value)[:80]}")
        if not abs(value) < 1e15:  # also True for NaN
            raise ValueError(f"{key} is out of range. Received: {str(value)[:80]}")


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a CSV file; its header has the keys of all rows in order."""
    text = io.StringIO()
    header = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def sha256(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(path: pathlib.Path) -> int:
    """Returns the size in bytes of a file, or of all files in a directory."""
    return sum(file.stat().st_size for file in _files(path))


def checksum(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file, or of the list of a directory's checksums."""
    if path.is_file():
        return sha256(path)
    lines = [
        f"{sha256(file)}  {file.relative_to(path).as_posix()}\n"
        for file in _files(path)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())
