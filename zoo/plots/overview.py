"""Pictures of any run: how its training went, what its exported files cost."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from zoo.plots import canvas
from zoo.training.outcome import TrainedRun


def read_metrics(path: pathlib.Path) -> list[dict[str, float]]:
    """Reads metrics.csv: one dict per epoch, without the cells that are empty."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def curves(trained: TrainedRun) -> Figure:
    """Draws loss and accuracy over the epochs, on what was evaluated while training."""
    rows = read_metrics(trained.run.metrics)
    evaluated = "validation" if "validation" in trained.result else "test"
    figure = canvas.new_figure(4)
    names = [name for name in ("loss", "accuracy") if name in rows[0]]
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
        if name == "loss" and lowest > 0 and highest > 10 * lowest:
            axes.set_yscale("log")
            canvas.plain_log(axes.yaxis, "{x:g}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure


def sizes(artifacts: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws accuracy, or the error of a regression, over bytes of exported files.

    Args:
        artifacts: records of export.json.
    """
    figure = canvas.new_figure(4.5)
    axes = figure.subplots()
    classifier = "accuracy" in artifacts[0]
    count = EngFormatter("B", places=1)
    # Unfilled and of several sizes: files that are alike lie on each other.
    for k, record in enumerate(artifacts):
        value = 100 * record["accuracy"] if classifier else record["max_abs_error"]
        text = f"{value:.2f}%" if classifier else f"{value:.2g}"
        axes.plot(
            record["bytes"],
            value,
            "osD^vPX"[k % 7],
            fillstyle="none",
            markeredgewidth=2,
            markersize=8 + 2 * (k % 3),
            label=f"{record['name']}: {count(record['bytes'])}, {text}",
        )
    axes.set_xscale("log")
    canvas.plain_log(axes.xaxis, EngFormatter("B"))
    low, high = axes.get_xlim()
    axes.set(xlim=(low / 1.5, high * 1.5), xlabel="size")
    low, high = axes.get_ylim()
    if classifier:
        # A scale that makes hundredths of a point look like cliffs would mislead.
        middle, half = (low + high) / 2, max((high - low) / 2, 0.5)
        axes.set(ylabel="test accuracy, %", ylim=(middle - half, middle + half))
        axes.yaxis.get_major_formatter().set_useOffset(False)
    else:
        axes.set_ylabel("largest difference from Keras")
        axes.set_yscale("symlog", linthresh=1e-7)
        axes.set_ylim(0, 1e-6 + 3 * max(r["max_abs_error"] for r in artifacts))
        axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    return figure
