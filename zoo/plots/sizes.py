"""Picture of what the exported files cost and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo.plots.canvas import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
    plain_log,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sizes(artifacts: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws accuracy, or the error of a regression, over bytes of exported files.

    Args:
        artifacts: records of export.json.
    """
    figure = new_figure(4.5)
    axes = figure.subplots()
    classifier = "accuracy" in artifacts[0]
    # Unfilled and of several sizes: files that are alike lie on each other.
    colors = (BLUE, VERMILION, GREEN, BLACK, PURPLE, ORANGE, SKY)
    for k, record in enumerate(artifacts):
        color, marker = colors[k % len(colors)], "osD^vPX"[k % 7]
        if classifier:
            value, text = 100 * record["accuracy"], f"{100 * record['accuracy']:.2f}%"
        else:
            value, text = record["max_abs_error"], f"{record['max_abs_error']:.2g}"
        axes.plot(
            *(record["bytes"], value, marker),
            color=color,
            fillstyle="none",
            markeredgewidth=2,
            markersize=8 + 2 * (k % 3),
            label=f"{record['name']}: {_bytes(record['bytes'])}, {text}",
        )
    axes.set_xscale("log")
    plain_log(axes.xaxis, lambda value, _: _bytes(value))
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.5, high * 1.5)
    axes.set_xlabel("size")
    if classifier:
        axes.set_ylabel("test accuracy, %")
        low, high = axes.get_ylim()
        # A scale that makes hundredths of a point look like cliffs would mislead.
        middle, half = (low + high) / 2, max((high - low) / 2, 0.5)
        axes.set_ylim(middle - half, middle + half)
        axes.yaxis.get_major_formatter().set_useOffset(False)
    else:
        axes.set_ylabel("largest difference from Keras")
        axes.set_yscale("symlog", linthresh=1e-7)
        axes.set_ylim(0, 1e-6 + 3 * max(r["max_abs_error"] for r in artifacts))
        axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError
