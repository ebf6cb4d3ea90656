"""What an export says at its end."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from zoo.console import align


def measured(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns accuracy and agreement of a file, or the largest error of a regression.

    Args:
        record: of the file in export.json.
    """
    if "accuracy" in record:
        return f"{record['accuracy']:.2%}", f"{record['agreement']:.2%}"
    return (f"{record['max_abs_error']:.2g}",)


def summary(export: Mapping[str, Any], run_dir: str | pathlib.Path) -> str:
    """Returns a table of the files.

    Args:
        export: the content of export.json.
        run_dir: the run.
    """
    classifier = export["data"]["num_classes"] is not None
    columns = ("accuracy", "agreement") if classifier else ("largest error",)
    rows = [("exported", "bytes", *columns, "ms")]
    for record in export["artifacts"]:
        latency = f"{record['latency_ms']['median']:.2f}"
        size = f"{record['bytes']:,}"
        rows.append((record["path"], size, *measured(record), latency))
    lines = align(rows)
    lines += [f"left out: {name}: {why}" for name, why in export["left_out"].items()]
    if page := export.get("page"):
        lines.append(f"page: {page['path']}, {page['bytes']:,} bytes")
    lines.append(f"All verified on the test split. {pathlib.Path(run_dir) / 'export'}")
    return "\n".join(lines)
