"""Picture of what the exported files cost and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from zoo.plots import canvas


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
