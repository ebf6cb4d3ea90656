"""Picture of how a training went."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from zoo.plots import canvas


def read_metrics(path: pathlib.Path) -> list[dict[str, float]]:
    """Reads metrics.csv: one dict per epoch, without the cells that are empty."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def curves(rows: Sequence[Mapping[str, float]], evaluated: str) -> Figure:
    """Draws loss and accuracy over the epochs.

    Args:
        rows: the content of metrics.csv.
        evaluated: the split that was evaluated while training, test or validation.
    """
    figure = canvas.new_figure(4)
    names = [name for name in ("loss", "accuracy") if name in rows[0]]
    for axes, name in zip(
        figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
    ):
        values = []
        for key, label, color, line in (
            (name, "training", canvas.BLUE, "o-"),
            (f"val_{name}", evaluated, canvas.VERMILION, "s--"),
        ):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if not points:
                continue
            epochs, reached = zip(*points, strict=True)
            values += reached
            last = reached[-1]
            end = f"{last:.4g}" if name == "loss" else f"{100 * last:.2f}%"
            axes.plot(
                epochs,
                reached,
                line if len(points) <= 50 else line[1:],
                color=color,
                markersize=3,
                label=f"{label}, {end} at the end",
            )
        if name == "loss" and min(values) > 0 and max(values) > 10 * min(values):
            axes.set_yscale("log")
            canvas.plain_log(axes.yaxis, "{x:g}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure
