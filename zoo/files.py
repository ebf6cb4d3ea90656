"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

#: Matches what ``replacing`` writes to until it is renamed.
BESIDE = ".*.[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f].*"


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a path beside ``path`` to write to; renames it into place at the end.

    The suffix is kept, since Keras tells formats by it. If the block raises, what
    it wrote is removed and ``path`` is as it was.
    """
    beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole."""
    with replacing(path) as beside:
        beside.write_bytes(content)


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file whole: indented, strict (no NaN), newline at the end."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows under the header that their keys give, in order of appearance."""
    text = io.StringIO()
    header = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def sha256(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(path: pathlib.Path) -> int:
    """Returns the bytes of a file, or of all files of a directory."""
    return sum(file.stat().st_size for file in _files(path))


def checksum(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file; of a directory, that of its files' list."""
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
