"""Pictures of any run: its learning curves, and the cost of its exported files."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from zoo.console import format_milliseconds
from zoo.plots import canvas
from zoo.runs.run import Run


def read_metrics(path: pathlib.Path) -> list[dict[str, float]]:
    """Reads metrics.csv: one dict per epoch, without the empty cells."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def curves(trained: Run) -> Figure | None:
    """Draws loss and accuracy over the epochs, for training and evaluated splits.

    Returns None if only a head was fitted, which takes no epochs.
    """
    if not trained.result["steps"]:
        return None
    rows = read_metrics(trained.run.metrics)
    evaluated = "validation" if "validation" in trained.result else "test"
    names = [name for name in ("loss", "accuracy") if name in rows[0]]
    loss = "cross-entropy, nats" if "accuracy" in names else "mean squared error"
    labels = {"loss": f"loss ({loss})", "accuracy": "accuracy (%)"}
    figure = canvas.new_figure(4.2)
    for axes, name in zip(
        figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
    ):
        for key, label, color, line in (
            (name, "training", canvas.BLUE, "o-"),
            (f"val_{name}", evaluated, canvas.VERMILION, "s--"),
        ):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if not points:
                continue
            epochs, reached = zip(*points, strict=True)
            end = f"{reached[-1]:.4g}" if name == "loss" else f"{reached[-1]:.2%}"
            axes.plot(
                epochs,
                reached,
                line if len(points) <= 50 else line[1:],
                color=color,
                markersize=3,
                label=f"{label}, {end} at the end",
            )
        lowest, highest = axes.dataLim.intervaly
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        elif lowest > 0 and highest > 10 * lowest:
            axes.set_yscale("log")
            # Without powers, because they need math text.
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        title = f"{name.capitalize()} after each epoch"
        axes.set(xlabel="epoch", ylabel=labels[name], title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        # The legend is below the axes, where it covers no curve.
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return figure


def sizes(artifacts: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws a row for each exported file: its size, its accuracy and its latency.

    For a regression, it draws the largest difference from Keras instead of accuracy.

    Args:
        artifacts: records of export.json.
    """
    figure = canvas.new_figure(1.6 + 0.4 * len(artifacts))
    size, quality, latency = figure.subplots(1, 3, sharey=True)
    count = EngFormatter("B", places=1)
    _bars(size, [record["bytes"] for record in artifacts], count)
    size.set(title="Size", xlabel="size (bytes)")
    size.xaxis.set_major_formatter(EngFormatter("B"))
    if "accuracy" in artifacts[0]:
        values, text = [100 * r["accuracy"] for r in artifacts], "{:.2f}%"
        quality.set(title="Accuracy", xlabel="test accuracy (%)")
        # A narrower axis would exaggerate differences of hundredths of a point.
        quality.set_xlim(max(min(values) - 1, 0), min(max(values) + 1, 100))
        quality.xaxis.set_major_locator(MaxNLocator(3))
    else:
        values, text = [r["max_abs_error"] for r in artifacts], "{:.2g}"
        quality.set(title="Error", xlabel="largest difference from Keras's y")
        quality.set_xscale("symlog", linthresh=1e-7)
        quality.set_xlim(0, 1e-6 + 3 * max(values))
        quality.set_xticks([0, 1e-6, 1e-3], ["0", "1e-6", "1e-3"])
    quality.plot(values, range(len(values)), "o", color=canvas.VERMILION, clip_on=False)
    above = {"textcoords": "offset points", "ha": "center", "fontsize": 9}
    for row, value in enumerate(values):
        quality.annotate(text.format(value), (value, row), (0, 6), **above)
    _bars(latency, [r["latency_ms"]["median"] for r in artifacts], format_milliseconds)
    latency.set(title="Latency", xlabel="ms per example, one thread")
    size.set_yticks(range(len(artifacts)), [record["name"] for record in artifacts])
    size.invert_yaxis()
    for axes in (size, quality, latency):
        axes.grid(alpha=0.25, axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    figure.suptitle("Size, quality and speed of the exported files")
    return figure


def _bars(axes: Any, values: Sequence[float], text: Callable[[float], str]) -> None:
    """Draws horizontal bars with their values beside them."""
    bars = axes.barh(range(len(values)), values, color=canvas.SKY, height=0.6)
    axes.bar_label(bars, [text(value) for value in values], padding=3, fontsize=9)
    axes.set_xlim(0, 1.45 * max(values))
    axes.xaxis.set_major_locator(MaxNLocator(3))
