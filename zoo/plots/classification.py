"""Pictures of a classifier: its mistakes, its confidence and its first layer.

Each shows one finished run on the whole test split of its dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from zoo.plots import canvas
from zoo.runs import scoring
from zoo.runs.run import Run

MOST_COUNTS = 20  # classes whose counts are written into the matrix
MISTAKES = 25
BINS = 15
FEW = 20  # with fewer examples, an accuracy says little


def count_answers(trained: Run) -> np.ndarray:
    """Returns the counts (classes, classes) of predictions; rows are true classes."""
    predicted, n = trained.outputs.argmax(axis=1), trained.outputs.shape[1]
    return confusion_matrix(trained.dataset.test.y, predicted, labels=range(n))


def confusion(trained: Run) -> Figure:
    """Draws a confusion matrix and, for many classes, the most frequent mistakes."""
    counts, classes = count_answers(trained), trained.config["data"]["class_names"]
    n, few = len(counts), len(counts) <= MOST_COUNTS
    if few:
        figure = above = canvas.new_figure(7.5)
    else:
        figure = canvas.new_figure(11.5)
        above, below = figure.subfigures(2, 1, False, height_ratios=(7, 4))[:, 0]
        _frequent_mistakes(below.subplots(), counts, canvas.shorten(classes, 26))
    axes = above.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # A square-root scale keeps single mistakes visible beside a diagonal of thousands.
    image = axes.imshow(shares, canvas.SEQUENTIAL, norm=PowerNorm(0.5, 0, 1))
    label = "share of the examples of the true class (%)"
    above.colorbar(image, ax=axes, label=label, shrink=0.7, format=PercentFormatter(1))
    ticks = range(0, n, 1 if few else -(-n // 25))
    labels = canvas.shorten(classes, 14)
    shown = [labels[tick] for tick in ticks]
    axes.set_xticks(ticks, shown, rotation=0 if max(map(len, shown)) <= 3 else 90)
    axes.set_yticks(ticks, shown)
    axes.tick_params(labelsize=8)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"Confusion matrix: {right:,} of {total:,} test examples are right, "
        f"{100 * right / max(total, 1):.2f}%",
    )
    for row, column in np.argwhere(counts) if few else ():
        axes.text(
            column,
            row,
            f"{counts[row, column]}",
            ha="center",
            va="center",
            color="white" if shares[row, column] < 0.3 else "black",
            fontsize=min(11, 110 / n),
        )
    return figure


def _frequent_mistakes(axes: Any, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Draws bars of the most frequent mistakes."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:15]
    order = order[wrong.flat[order] > 0]
    # A line that begins with a Hebrew name would be drawn from right to left.
    names = [
        f"true {labels[true]}, predicted {labels[predicted]}"
        for true, predicted in zip(*np.unravel_index(order, counts.shape), strict=True)
    ]
    bars = axes.barh(range(len(order)), wrong.flat[order], color=canvas.BLUE)
    axes.bar_label(bars, padding=3)
    axes.set_yticks(range(len(order)), names, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(
        xlabel="number of test examples",
        title=f"The most frequent of {wrong.sum():,} mistakes on the test split",
    )


def mistakes(trained: Run) -> Figure | None:
    """Draws the most confident mistakes; None if there are none."""
    outputs, test = trained.outputs, trained.dataset.test
    names = canvas.shorten(trained.config["data"]["class_names"], 12)
    wrong = np.flatnonzero(~scoring.correct(outputs, test.y))
    if not len(wrong):
        return None
    wrong = wrong[np.argsort(-outputs[wrong].max(axis=1), kind="stable")]
    chosen = wrong[:MISTAKES]
    rows = -(-len(chosen) // 5)
    figure, grid = canvas.new_grid(0.5 + 2 * rows, rows, 5)
    for axes, i in zip(grid, chosen, strict=False):
        canvas.show_image(axes, test.x[i])
        predicted = outputs[i].argmax()
        axes.set_title(
            f"true: {names[test.y[i]]}\npredicted: {names[predicted]}\n"
            f"confidence {100 * outputs[i, predicted]:.1f}%",
            fontsize=8,
        )
    title = f"{len(chosen)} of {len(wrong):,} mistakes among {len(test.y):,} test "
    figure.suptitle(title + "examples, the most confident first")
    return figure


def first_layer(trained: Run) -> Figure:
    """Draws the first kernel: a convolution's filters, or weights for all pixels."""
    data = trained.config["data"]
    kernels = [w.numpy() for w in trained.model.weights if len(w.shape) in (2, 4)]
    values, count = kernels[0], kernels[0].shape[-1]
    names, order = [""] * count, np.arange(count)
    if values.ndim == 4:
        what = f"{count} filters of {values.shape[0]}x{values.shape[1]} pixels"
    else:
        values = values.reshape(*data["input_shape"], count)
        order = np.argsort(-np.square(values).sum(axis=(0, 1, 2)), kind="stable")[:64]
        what = f"the {len(order)} of {count} units with the largest weights"
        if len(kernels) == 1:  # the only layer, which leads to the classes
            names, order = canvas.shorten(data["class_names"], 12), np.arange(count)
            order, what = order[:100], f"{count} templates, one for each class"
    in_color = values.shape[2] == 3
    columns = 5 if len(order) <= 10 else 8 if len(order) <= 64 else 10
    rows = -(-len(order) // columns)
    cell = canvas.INCHES / columns
    figure, grid = canvas.new_grid(1.5 + rows * (cell + 0.1), rows, columns)
    limit = np.abs(values[..., order]).max() or 1.0
    for axes, i in zip(grid, order, strict=False):
        axes.set_title(names[i], fontsize=9)
        weights = values[..., i]
        if in_color:
            axes.imshow(0.5 + weights / (2 * np.abs(weights).max() or 1.0))
        else:
            shown = weights.mean(axis=-1)
            image = axes.imshow(shown, canvas.DIVERGING, vmin=-limit, vmax=limit)
    if in_color:
        meaning = "Gray stands for 0; a brighter channel has a larger weight."
    else:
        meaning = "Purple: bright pixels raise the output. Orange: they lower it."
        figure.colorbar(
            image,
            ax=grid,
            location="bottom",
            shrink=0.5,
            aspect=40,
            ticks=MaxNLocator(5),
            label="weight (no unit)",
        )
    figure.suptitle(f"First layer: {what}\n{meaning}")
    return figure


def calibration(
    outputs: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Compares the confidence of the answers with their accuracy.

    Returns:
        The number of examples in each of 15 bins of equal width; the mean confidence
        and the accuracy of each bin with examples; and the expected calibration error
        of Guo et al., 2017, 0 to 1.
    """
    confidence = outputs.max(axis=1).astype(np.float64)
    right = scoring.correct(outputs, labels)
    # calibration_curve uses the same bins but does not return their counts.
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    counts = np.bincount(np.searchsorted(inner, confidence), minlength=BINS)
    accuracy, sure = calibration_curve(right, confidence, n_bins=BINS, pos_label=True)
    error = np.average(np.abs(accuracy - sure), weights=counts[counts > 0])
    return counts, sure, accuracy, float(error)


def reliability(trained: Run) -> Figure:
    """Draws accuracy against confidence, and the number of examples of each bar."""
    counts, sure, accuracy, error = calibration(trained.outputs, trained.dataset.test.y)
    figure = canvas.new_figure(6.8)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    middles = (np.arange(BINS) + 0.5) / BINS
    bars = {"width": 1 / BINS, "edgecolor": "white"}
    filled = counts > 0
    above.bar(
        middles[filled],
        accuracy,
        color=np.where(counts[filled] < FEW, canvas.PALE, canvas.SKY),
        label=f"accuracy (pale: fewer than {FEW} examples)",
        **bars,
    )
    above.plot([0, 1], [0, 1], "k--", label="perfect calibration")
    dots = {"color": canvas.VERMILION, "clip_on": False, "label": "mean confidence"}
    above.plot(sure, accuracy, "o", **dots)
    above.set(
        ylabel="accuracy (%)",
        ylim=(0, 1.02),
        title="Accuracy of predictions by their confidence: expected calibration "
        f"error {100 * error:.2f}% ({BINS} bins)",
    )
    above.yaxis.set_major_formatter(PercentFormatter(1))
    drawn = below.bar(middles, counts, color=canvas.BLUE, **bars)
    below.bar_label(drawn, fmt=lambda n: f"{n:,.0f}" if n else "", fontsize=8)
    below.set(
        xlabel="confidence: probability of the predicted class (%)",
        ylabel="test examples (log scale)",
        xlim=(0, 1),
        yscale="symlog",
        ylim=(0, 8 * counts.max()),
    )
    below.xaxis.set_major_formatter(PercentFormatter(1))
    below.yaxis.set_major_formatter("{x:,.0f}")
    figure.legend(loc="outside lower center", frameon=False, ncols=3)
    return figure
