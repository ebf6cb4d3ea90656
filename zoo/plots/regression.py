"""Pictures of a line through points: where it lies, and the way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.data.dataset import Dataset
from zoo.plots.canvas import (
    BLACK,
    BLUE,
    GRAY,
    ORANGE,
    SEQUENTIAL,
    VERMILION,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def line(dataset: Dataset, result: Mapping[str, Any]) -> Figure:
    """Draws the data of a regression, and the lines learned and of least squares.

    Args:
        dataset: of a regression.
        result: the content of result.json.
    """
    figure = new_figure(5)
    axes = figure.subplots()
    x, y = dataset.train.x[:2000, 0], dataset.train.y[:2000, 0]
    axes.plot(x, y, ".", color=GRAY, markersize=3, label="training examples")
    ends = np.array([x.min(), x.max()])
    for key, color, style, width in (
        ("least_squares", ORANGE, "-", 5),
        ("learned", BLUE, "--", 2),
    ):
        weight, bias = result[key]["weight"], result[key]["bias"]
        sign = "-" if bias < 0 else "+"
        label = f"{key.replace('_', ' ')}: y = {weight:.3f} x {sign} {abs(bias):.3f}"
        axes.plot(ends, weight * ends + bias, style, color=color, lw=width, label=label)
    axes.set(xlabel="x", ylabel="y")
    axes.legend(frameon=False)
    return figure


def path(
    dataset: Dataset,
    start: tuple[float, float],
    rows: Sequence[Mapping[str, float]],
    result: Mapping[str, Any],
) -> Figure:
    """Draws weight and bias after each epoch on the surface of the training loss.

    Args:
        dataset: of a regression.
        start: weight and bias before training.
        rows: of metrics.csv, with ``weight`` and ``bias``.
        result: the content of result.json.
    """
    way = np.array([start, *((r["weight"], r["bias"]) for r in rows if "weight" in r)])
    best = result["least_squares"]["weight"], result["least_squares"]["bias"]
    points = np.vstack([way, best])
    margin = 0.15 * np.ptp(points, axis=0) + 0.3
    (w_low, b_low), (w_high, b_high) = points.min(0) - margin, points.max(0) + margin
    weights, biases = np.meshgrid(
        np.linspace(w_low, w_high, 120), np.linspace(b_low, b_high, 120)
    )
    figure = new_figure(6)
    axes = figure.subplots()
    loss = mean_squared_error(dataset, weights, biases)
    levels = np.geomspace(loss.min(), loss.max(), 15)
    filled = axes.contourf(weights, biases, loss, levels, cmap=SEQUENTIAL, norm="log")
    bar = figure.colorbar(filled, ax=axes, label="mean squared error")
    bar.set_ticks(levels[::2], labels=[f"{level:.3g}" for level in levels[::2]])
    bar.minorticks_off()
    axes.plot(*way.T, "o-", color="white", mec=BLACK, ms=5, label="after each epoch")
    axes.plot(*way[0], "s", color=ORANGE, mec=BLACK, ms=10, label="start")
    axes.plot(*best, "*", color=VERMILION, mec="white", ms=16, label="least squares")
    axes.set(xlabel="weight", ylabel="bias")
    legend = axes.legend(facecolor=GRAY, framealpha=0.85)
    for text in legend.get_texts():
        text.set_color("white")
    return figure


def mean_squared_error(
    dataset: Dataset, weights: np.ndarray, biases: np.ndarray
) -> np.ndarray:
    """Returns the training loss of lines of any shape, by the moments of the data."""
    x = dataset.train.x[:, 0].astype(np.float64)
    y = dataset.train.y[:, 0].astype(np.float64)
    return (
        np.mean(y * y)
        + weights**2 * np.mean(x * x)
        + biases**2
        + 2 * weights * biases * np.mean(x)
        - 2 * weights * np.mean(x * y)
        - 2 * biases * np.mean(y)
    )
