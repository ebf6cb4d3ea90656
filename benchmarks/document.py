"""Writes tables into the documents, between two markers."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from zoo import files
from zoo.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "BUILD.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
#: The results of `python -m benchmarks`, by comparison.
RESULTS = ROOT / "benchmarks" / "results.json"


def results() -> dict[str, Any]:
    """Returns the results of all comparisons that have been run."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown.

    Args:
        heads: heads of the columns. A column of numbers, which are aligned to the
            right, has a colon at the end of its head.
        rows: the cells of each row.
    """
    lines = ["---:" if head.endswith(":") else "---" for head in heads]
    above = [head.removesuffix(":") for head in heads]
    return "".join(f"| {' | '.join(row)} |\n" for row in (above, lines, *rows))


def where(name: str) -> pathlib.Path:
    """Returns the document that has the markers of a table."""
    for path in DOCUMENTS:
        if f"<!-- {name} -->" in path.read_text(encoding="utf-8"):
            return path
    raise UserError(f"No document has markers <!-- {name} --> and <!-- /{name} -->.")


def rewrite(name: str, text: str) -> None:
    """Replaces the text between ``<!-- name -->`` and ``<!-- /name -->``."""
    path = where(name)
    before, begin, rest = path.read_text(encoding="utf-8").partition(
        f"<!-- {name} -->\n"
    )
    _, end, after = rest.partition(f"<!-- /{name} -->")
    files.write_bytes(path, f"{before}{begin}{text}{end}{after}".encode())
