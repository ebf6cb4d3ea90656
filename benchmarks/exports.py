"""Writes the README's table of exported files from the export.json of finished runs.

python -m benchmarks.exports runs/linear-mnist runs/mlp-mnist runs/convnet-mnist
"""

from __future__ import annotations

import pathlib
from typing import Any

from benchmarks import document
from zoo import cli
from zoo.errors import UserError
from zoo.rundir import RunDir, finished_run

README = pathlib.Path(__file__).parents[1] / "README.md"


def table(exports: list[dict[str, Any]]) -> str:
    """Returns the Markdown table of some contents of export.json."""
    lines = [
        "| model | file | bytes | test accuracy | lost to Keras | ms, one thread |\n",
        "| --- | --- | ---: | ---: | ---: | ---: |\n",
    ]
    for export in exports:
        for record in export["artifacts"]:
            lines.append(
                f"| {export['model']} | `{record['path']}` | {record['bytes']:,} | "
                f"{100 * record['accuracy']:.2f}% | "
                f"{record['accuracy_drop']:+.2f} points | "
                f"{record['latency_ms']['median']:.2f} |\n"
            )
    return "".join(lines)


def main(argv: list[str]) -> None:
    """Reads the runs that are named and rewrites README.md."""
    runs = cli.parse_flags(argv, __doc__)
    if not runs:
        raise UserError("Name the finished and exported runs, as runs/mlp-mnist.")
    exports = [_export(finished_run(run)) for run in runs]
    document.rewrite(README, "exports", table(exports))


def _export(run: RunDir) -> dict[str, Any]:
    if export := run.read_export():
        return export
    raise UserError(
        f"{run.path} is not exported: python -m export --run_dir={run.path}"
    )


if __name__ == "__main__":
    cli.main(main)
