"""Picture of how a training went."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zoo.plots.canvas import BLUE, VERMILION, new_figure, plain_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read_metrics(path: pathlib.Path) -> list[dict[str, float]]:
    """Reads metrics.csv: one dict per epoch, without the cells that are empty."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def curves(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Draws loss, accuracy and learning rate over the epochs.

    Args:
        rows: of metrics.csv.
    """
    figure = new_figure(4)
    names = [name for name in ("loss", "accuracy") if name in rows[0]]
    grid = figure.subplots(1, len(names), squeeze=False)
    for axes, name in zip(grid[0], names, strict=True):
        for key, label, color, marker in (
            (name, "training", BLUE, "o"),
            (f"val_{name}", "test", VERMILION, "s"),
        ):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                last = f"{100 * points[-1][1]:.2f}%"
                if name == "loss":
                    last = f"{points[-1][1]:.4g}"
                dots = marker if len(points) <= 50 else ""
                axes.plot(
                    *zip(*points, strict=True),
                    color=color,
                    linestyle="-" if key == name else "--",
                    marker=dots,
                    markersize=3,
                    label=f"{label}, {last} at the end",
                )
        values = [row[k] for row in rows for k in (name, f"val_{name}") if k in row]
        if name == "loss" and min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
            plain_log(axes.yaxis, "{x:g}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure
