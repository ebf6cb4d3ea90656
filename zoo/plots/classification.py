"""Pictures of a classifier: what it confuses, how sure it is, what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.plots import typeface
from zoo.plots.canvas import (
    BLACK,
    BLUE,
    DIVERGING,
    INCHES,
    SEQUENTIAL,
    SKY,
    VERMILION,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.models.base import TapeModel

MOST_COUNTS = 20  # classes whose counts are written into the matrix
MISTAKES = 25
BINS = 15


def count_confusion(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns int counts (classes, classes): true classes are rows.

    Args:
        outputs: probabilities (n, classes).
        labels: true classes (n,).
    """
    counts = np.zeros((outputs.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, outputs.argmax(axis=1)), 1)
    return counts


def confusion(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draws a confusion matrix; with many classes, the commonest mistakes beside it.

    Args:
        counts: int (classes, classes), true classes are rows.
        classes: their names.
    """
    from matplotlib.colors import PowerNorm

    n = len(counts)
    few = n <= MOST_COUNTS
    figure = new_figure(7.5 if few else 11.5)
    above, below = (figure, None)
    if not few:
        above, below = figure.subfigures(2, height_ratios=(7, 4))
    axes = above.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root shows single mistakes beside a diagonal of thousands.
    image = axes.imshow(shares, SEQUENTIAL, norm=PowerNorm(0.5, 0, 1))
    above.colorbar(image, ax=axes, label="share of the true class", shrink=0.7)
    every = 1 if few else -(-n // 25)
    labels = typeface.labels(classes, 14 if n > 10 else 18)
    axes.set_xticks(
        range(0, n, every), labels[::every], rotation=0 if _short(labels) else 90
    )
    axes.set_yticks(range(0, n, every), labels[::every])
    axes.tick_params(labelsize=10 if n <= 10 else 8)
    right, total = int(np.trace(counts)), int(counts.sum())
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"{right:,} of {total:,} right: {100 * right / max(total, 1):.2f}%",
    )
    if few:
        size = min(11, 110 / n)
        for row, column in np.argwhere(counts > 0):
            color = "white" if shares[row, column] ** 0.5 < 0.55 else "black"
            axes.text(
                *(column, row, f"{counts[row, column]}"),
                **{"ha": "center", "va": "center", "color": color, "fontsize": size},
            )
    else:
        _commonest(below.subplots(), counts, typeface.labels(classes, 26))
    return figure


def _short(labels: Sequence[str]) -> bool:
    return sum(map(len, labels)) <= 40 and max(map(len, labels)) <= 5


def _commonest(axes: Any, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Draws bars of the most frequent mistakes."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:15]
    pairs = [np.unravel_index(i, counts.shape) for i in order if wrong.flat[i]]
    axes.set_title(f"The most frequent of {int(wrong.sum()):,} mistakes")
    if not pairs:
        axes.axis("off")
        return
    bars = axes.barh(range(len(pairs)), [wrong[pair] for pair in pairs], color=BLUE)
    axes.bar_label(bars, padding=3)
    # Beginning with Latin letters, or Hebrew names would turn the line around.
    names = [f"true {labels[t]}, predicted {labels[p]}" for t, p in pairs]
    axes.set_yticks(range(len(pairs)), names, fontsize=8)
    axes.invert_yaxis()
    axes.xaxis.get_major_locator().set_params(integer=True)


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    outputs: np.ndarray,
    classes: Sequence[str],
) -> Figure:
    """Draws the wrong answers with the highest probabilities.

    Args:
        images: uint8 (n, height, width, channels), or something that gives image i.
        labels: true classes (n,).
        outputs: probabilities (n, classes).
        classes: their names.
    """
    chosen = most_confident_mistakes(outputs, labels)
    total = int((outputs.argmax(axis=1) != labels).sum())
    if not total:
        return _message(f"No mistake among {len(labels):,} test examples.")
    columns = 5
    figure = new_figure(0.5 + 2 * -(-len(chosen) // columns))
    names = typeface.labels(classes, 12)
    grid = figure.subplots(-(-len(chosen) // columns), columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, chosen, strict=False):
        _show(axes, images[i])
        predicted = outputs[i].argmax()
        axes.set_title(
            f"true: {names[labels[i]]}\npredicted: {names[predicted]}\n"
            f"{100 * outputs[i, predicted]:.1f}% sure",
            fontsize=8,
        )
    figure.suptitle(
        f"{len(chosen)} of {total:,} mistakes in {len(labels):,} test examples, the "
        "surest first",
        fontsize=11,
    )
    return figure


def most_confident_mistakes(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the indices of wrong answers, the most probable first: at most 25."""
    wrong = np.flatnonzero(outputs.argmax(axis=1) != labels)
    order = np.argsort(-outputs[wrong].max(axis=1), kind="stable")
    return wrong[order[:MISTAKES]]


def _show(axes: Any, image: np.ndarray) -> None:
    if image.shape[-1] == 1:
        axes.imshow(image[..., 0], "gray", vmin=0, vmax=255)
    else:
        axes.imshow(image)


def _message(text: str) -> Figure:
    figure = new_figure(2)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=14)
    return figure


def first_layer(
    model: TapeModel, classes: Sequence[str], shape: Sequence[int]
) -> Figure:
    """Draws the first kernel: filters of a convolution, or templates of the pixels.

    Args:
        model: a classifier of images whose weights are made.
        classes: names of its classes.
        shape: (height, width, channels) of its images.
    """
    kernel = next(w for w in model.trainable_weights if len(w.shape) in (2, 4))
    values, count = kernel.numpy(), kernel.shape[-1]
    # Of a linear model: its first kernel is also its last.
    per_class = len(kernel.shape) == 2 and kernel is model.trainable_weights[-2]
    if len(kernel.shape) == 2:
        values = values.reshape(*shape, count)
    order = np.arange(count)
    what = f"{count} filters of {values.shape[0]}x{values.shape[1]} pixels"
    if len(kernel.shape) == 2:
        what = f"{count} templates, one for each class"
        if not per_class:
            norms = np.square(values).sum(axis=(0, 1, 2))
            order = np.argsort(-norms, kind="stable")[:64]
            what = f"the {len(order)} strongest of {count} units"
    columns = 5 if len(order) <= 10 else 8 if len(order) <= 64 else 10
    if per_class:
        order = order[:100]
    rows = -(-len(order) // columns)
    figure = new_figure(0.6 + rows * (INCHES / columns + 0.2 * per_class))
    names = typeface.labels(classes, 90 // columns)
    limit = np.abs(values[..., order]).max() or 1.0
    image, grid = None, figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, order, strict=False):
        weights = values[..., i]
        if weights.shape[-1] == 3:
            axes.imshow(0.5 + weights / (2 * np.abs(weights).max() or 1.0))
        else:
            shown = weights.mean(axis=-1)
            image = axes.imshow(shown, DIVERGING, vmin=-limit, vmax=limit)
        if per_class:
            axes.set_title(names[i], fontsize=12 if columns == 5 else 7)
    if image is not None:
        figure.colorbar(image, ax=grid, label="weight", shrink=min(1.0, 3 / rows))
    figure.suptitle(f"First layer: {what}", fontsize=11)
    return figure


def calibration(
    outputs: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Compares how sure the answers are with how often they are right.

    Args:
        outputs: probabilities (n, classes).
        labels: true classes (n,).

    Returns:
        For 15 bins of equal width, (0, 1/15] to (14/15, 1]: number of examples, mean
        confidence and accuracy (NaN where there are none); and the expected
        calibration error of Guo et al., 2017, 0 to 1.
    """
    confidence = outputs.max(axis=1).astype(np.float64)
    right = (outputs.argmax(axis=1) == labels).astype(np.float64)
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        sure = np.bincount(bins, confidence, BINS) / counts
        accuracy = np.bincount(bins, right, BINS) / counts
    gaps = np.nan_to_num(np.abs(accuracy - sure))
    return counts, sure, accuracy, float((counts * gaps).sum() / counts.sum())


def reliability(outputs: np.ndarray, labels: np.ndarray) -> Figure:
    """Draws accuracy over confidence, and how many examples are how sure.

    Args:
        outputs: probabilities (n, classes).
        labels: true classes (n,).
    """
    counts, sure, accuracy, error = calibration(outputs, labels)
    figure = new_figure(6.5)
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    seen = counts > 0
    edges = (np.arange(BINS) + 0.5) / BINS
    above.bar(
        *(edges[seen], accuracy[seen], 1 / BINS),
        **{"color": SKY, "edgecolor": "white", "label": "right"},
    )
    above.plot([0, 1], [0, 1], "--", color=BLACK, label="as often right as sure")
    above.plot(
        *(sure[seen], accuracy[seen], "o"),
        **{"color": VERMILION, "label": "mean of a bin", "clip_on": False},
    )
    above.set(
        ylabel="share that is right",
        ylim=(0, 1.02),
        title=f"Expected calibration error {100 * error:.2f}% ({BINS} bins)",
    )
    above.legend(frameon=False, loc="upper left")
    bars = below.bar(edges, counts, 1 / BINS, color=BLUE, edgecolor="white")
    texts = [f"{count:,}" if count else "" for count in counts]
    below.bar_label(bars, texts, fontsize=8, padding=1)
    below.set(
        xlabel="probability of the answer",
        ylabel="examples",
        xlim=(0, 1),
        yscale="symlog",
        ylim=(0, 8 * counts.max()),
    )
    below.yaxis.set_major_formatter("{x:,.0f}")
    return figure
