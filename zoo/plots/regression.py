"""Pictures of a linear regression: the learned line and the path of training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from zoo.plots import canvas
from zoo.plots.overview import read_metrics
from zoo.runs.run import Run


def line(trained: Run) -> Figure:
    """Draws the training examples, the learned line and the least-squares line."""
    figure = canvas.new_figure(5)
    axes = figure.subplots()
    train = trained.dataset.train
    x, y = train.x[:2000][:, 0], train.y[:2000, 0]
    axes.plot(x, y, ".", color=canvas.GRAY, markersize=3, label="training examples")
    ends = np.array([x.min(), x.max()])
    for key, color, style, width in (
        ("least_squares", canvas.ORANGE, "-", 5),
        ("learned", canvas.BLUE, "--", 2),
    ):
        weight, bias = (trained.result[key][name] for name in ("weight", "bias"))
        sign = "-" if bias < 0 else "+"
        label = f"{key.replace('_', ' ')}: y = {weight:.3f} x {sign} {abs(bias):.3f}"
        axes.plot(ends, weight * ends + bias, style, color=color, lw=width, label=label)
    title = f"The learned line and {len(x):,} training examples"
    axes.set(xlabel="x (no unit)", ylabel="y (no unit)", title=title)
    figure.legend(loc="outside lower center", frameon=False, ncols=3, markerscale=3)
    return figure


def path(trained: Run) -> Figure:
    """Draws weight and bias after each epoch on the surface of the training loss."""
    untrained = type(trained.model).from_config(trained.model.get_config())
    untrained.build((None, 1))
    rows = [row for row in read_metrics(trained.run.metrics) if "weight" in row]
    way = np.array([untrained.line(), *((r["weight"], r["bias"]) for r in rows)])
    best = [trained.result["least_squares"][name] for name in ("weight", "bias")]
    points = np.vstack([way, best])
    margin = 0.15 * np.ptp(points, axis=0) + 0.3
    weights, biases = np.meshgrid(
        *np.linspace(points.min(0) - margin, points.max(0) + margin, 60).T
    )
    train = trained.dataset.train
    x, y = train.x[:][:, 0], train.y[:, 0]
    errors = weights[..., None] * x + biases[..., None] - y
    loss = np.square(errors).mean(axis=-1)
    levels = np.geomspace(loss.min(), loss.max(), 15)
    figure = canvas.new_figure(6)
    axes = figure.subplots()
    filled = axes.contourf(
        weights, biases, loss, levels, cmap=canvas.SEQUENTIAL, norm="log"
    )
    figure.colorbar(
        filled,
        ax=axes,
        label="training loss (mean squared error)",
        ticks=levels[::2],
        format="%.3g",
    ).minorticks_off()
    axes.plot(*way.T, "o-", color="w", mec="k", ms=5, label="each epoch")
    axes.plot(*way[0], "s", color=canvas.ORANGE, mec="k", ms=10, label="start")
    axes.plot(*best, "*", color=canvas.VERMILION, mec="w", ms=16, label="least squares")
    title = "Path of weight and bias during training"
    axes.set(xlabel="weight (no unit)", ylabel="bias (no unit)", title=title)
    figure.legend(loc="outside lower center", facecolor=canvas.SILVER, ncols=3)
    return figure
