"""Pictures of a finished run, R/plots: 800 pixels wide, for any color vision.

Matplotlib is imported when something is drawn, and nothing is drawn while training.
"""

from __future__ import annotations

import contextlib
import csv
import io
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import files, report, typeface
from zoo.data.spec import Dataset
from zoo.rundir import RunDir, finished_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.models.tape import TapeModel

#: Okabe and Ito's colors, which color-blind readers can tell apart.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"),
)
BLACK, GRAY = "#000000", "#767676"
SEQUENTIAL, DIVERGING = "cividis", "PuOr"

#: File names, in the order of the model card, and what they show.
TITLES = {
    "curves": "Learning curves",
    "confusion": "Confusion matrix of the test split",
    "mistakes": "The most confident mistakes of the test split",
    "first_layer": "What the first layer learned",
    "reliability": "Reliability of the probabilities on the test split",
    "line": "The line learned and the line of least squares",
    "path": "The path of weight and bias on the loss surface",
    "sizes": "What the exported files cost and give",
}
MOST_COUNTS = 20  # classes whose counts are written into the matrix
MISTAKES = 25
BINS = 15
_INCHES, _DPI = 8, 100


def draw_run(
    run_dir: str | pathlib.Path,
    *,
    dataset: Dataset | None = None,
    model: TapeModel | None = None,
    outputs: np.ndarray | None = None,
    artifacts: Sequence[Mapping[str, Any]] = (),
) -> list[pathlib.Path]:
    """Draws the pictures of a finished run that are not there yet.

    What goes wrong becomes a warning: a run is worth more than its pictures.

    Args:
        run_dir: the run, R.
        dataset: the run's own, if the caller has it in memory.
        model: the run's own, likewise.
        outputs: of the model for the test split, likewise: float32 probabilities
            (n, classes), or y (n, 1).
        artifacts: records of export.json; with them ``sizes.png`` is drawn anew.

    Returns:
        Paths of all pictures in R/plots, in the order of ``TITLES``.
    """
    run = finished_run(run_dir)
    try:
        _draw_missing(run, dataset, model, outputs, artifacts)
    except Exception as error:
        # Fonts, damaged weights, a full disk: whatever matplotlib and Keras raise.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        report.warn(f"Not all pictures of {run.path} could be drawn: {said}.")
    return [path for name in TITLES if (path := run.plots / f"{name}.png").exists()]


def _draw_missing(
    run: RunDir,
    dataset: Dataset | None,
    model: TapeModel | None,
    outputs: np.ndarray | None,
    artifacts: Sequence[Mapping[str, Any]],
) -> None:
    from zoo import evaluation

    config = run.read_config()
    run.plots.mkdir(exist_ok=True)
    regression = config["data"]["class_names"] == []
    names = ("curves", "line", "path")
    if not regression:
        names = ("curves", "confusion", "mistakes", "first_layer", "reliability")
    missing = [n for n in names if not (run.plots / f"{n}.png").exists()]
    figures: dict[str, Callable[[], Figure]] = {}
    if missing:
        _warn_of_letters(run, config["data"]["class_names"])
        rows = read_metrics(run.metrics)
        dataset = dataset or evaluation.run_dataset(run)
        model = model or evaluation.load_run(run.path)
        if outputs is None:
            outputs = evaluation.outputs(model, dataset.test)
        classes, test = config["data"]["class_names"], dataset.test
        figures = {
            "curves": lambda: curves(rows),
            "confusion": lambda: confusion(count_confusion(outputs, test.y), classes),
            "mistakes": lambda: mistakes(test.x, test.y, outputs, classes),
            "first_layer": lambda: first_layer(
                model, classes, dataset.spec.input_shape
            ),
            "reliability": lambda: reliability(outputs, test.y),
            "line": lambda: line(dataset, run.read_result()),
            "path": lambda: path(dataset, _start(model), rows, run.read_result()),
        }
        if "confusion" in missing:
            _write_counts(run, count_confusion(outputs, test.y), classes)
    if artifacts:
        missing.append("sizes")
        figures["sizes"] = lambda: sizes(artifacts)
    with style(config["data"]["class_names"]):
        for name in missing:
            save(figures[name](), run.plots / f"{name}.png")


def _warn_of_letters(run: RunDir, classes: Sequence[str]) -> None:
    if lacking := typeface.without_font(classes):
        report.warn(
            f"{len(lacking)} of {len(classes)} class names, as {lacking[0]!r}, have "
            "letters that no font here has: pictures show their numbers. Install one "
            f"(apt-get install fonts-noto-cjk), delete {run.plots} and export again."
        )


@contextlib.contextmanager
def style(names: Sequence[str] = ()) -> Iterator[None]:
    """Sets what all pictures share, and the fonts that ``names`` need."""
    import matplotlib

    settings = {
        "font.family": typeface.families(names),
        "font.size": 10,
        "text.parse_math": False,  # a class may be named "$5 bill"
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.constrained_layout.h_pad": 0.1,
    }
    with matplotlib.rc_context(settings):
        yield


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a PNG file whole."""
    with files.replacing(path) as beside:
        # Without the version, the same run gives the same bytes for longer.
        figure.savefig(beside, dpi=_DPI, metadata={"Software": None})


def _figure(height: float) -> Figure:
    # Not pyplot, which keeps every figure and may ask for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(_INCHES, height))


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
    figure = _figure(4)
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
            _plain_log(axes.yaxis, "{x:g}")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    return figure


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
    figure = _figure(7.5 if few else 11.5)
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


def _write_counts(run: RunDir, counts: np.ndarray, classes: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    for name, row in zip(classes, counts, strict=True):
        writer.writerow([name, *map(int, row)])
    files.write_bytes(run.plots / "confusion.csv", text.getvalue().encode())


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
    figure = _figure(0.5 + 2 * -(-len(chosen) // columns))
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
    figure = _figure(2)
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
    figure = _figure(0.6 + rows * (_INCHES / columns + 0.2 * per_class))
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
    figure = _figure(6.5)
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


def sizes(artifacts: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws accuracy, or the error of a regression, over bytes of exported files.

    Args:
        artifacts: records of export.json.
    """
    figure = _figure(4.5)
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
    _plain_log(axes.xaxis, lambda value, _: _bytes(value))
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


def _plain_log(axis: Any, major: Any) -> None:
    """Labels a logarithmic axis without powers, which would need math text."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(major)
    axis.set_minor_formatter(NullFormatter())


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError


def line(dataset: Dataset, result: Mapping[str, Any]) -> Figure:
    """Draws the data of a regression, and the lines learned and of least squares.

    Args:
        dataset: of a regression.
        result: the content of result.json.
    """
    figure = _figure(5)
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
    figure = _figure(6)
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


def _start(model: TapeModel) -> tuple[float, float]:
    """Weight and bias that the recipe's initializers give."""
    fresh = type(model).from_config(model.get_config())
    fresh.build((None, 1))
    return fresh.line()
