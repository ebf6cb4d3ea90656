"""What an export says at its end."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from zoo.console import align


def summary(export: Mapping[str, Any], run_dir: str | pathlib.Path) -> str:
    """Returns a table of the artifacts.

    Args:
        export: the content of export.json.
        run_dir: the run.
    """
    classifier = export["data"]["num_classes"] is not None
    header = ("exported", "bytes", "accuracy", "agreement", "ms")
    if not classifier:
        header = ("exported", "bytes", "largest error", "ms")
    rows = [header]
    for record in export["artifacts"]:
        if classifier:
            measured = (
                f"{100 * record['accuracy']:.2f}%",
                f"{100 * record['agreement']:.2f}%",
            )
        else:
            measured = (f"{record['max_abs_error']:.2g}",)
        latency = f"{record['latency_ms']['median']:.2f}"
        rows.append((record["path"], f"{record['bytes']:,}", *measured, latency))
    lines = align(rows)
    lines += [f"left out: {name}: {why}" for name, why in export["left_out"].items()]
    if page := export.get("page"):
        lines.append(f"page: {page['path']}, {page['bytes']:,} bytes")
    lines.append(f"All verified on the test split. {pathlib.Path(run_dir) / 'export'}")
    return "\n".join(lines)
