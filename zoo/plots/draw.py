"""Draws the pictures of a finished run, R/plots."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import console, files
from zoo.data.dataset import Dataset
from zoo.plots import canvas, classification, regression, typeface
from zoo.plots.curves import curves, read_metrics
from zoo.plots.sizes import sizes
from zoo.training.rundir import RunDir, finished_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.models.base import TapeModel

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
        console.warn(f"Not all pictures of {run.path} could be drawn: {said}.")
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
    classes = config["data"]["class_names"]
    names = ("curves", "line", "path")
    if classes:
        names = ("curves", "confusion", "mistakes", "first_layer", "reliability")
    missing = [n for n in names if not (run.plots / f"{n}.png").exists()]
    figures: dict[str, Callable[[], Figure]] = {}
    if missing:
        _warn_of_letters(run, classes)
        rows = read_metrics(run.metrics)
        dataset = dataset or evaluation.run_dataset(run)
        model = model or evaluation.load_run(run.path)
        if outputs is None:
            outputs = evaluation.outputs(model, dataset.test)
        test = dataset.test
        figures = {
            "curves": lambda: curves(rows),
            "confusion": lambda: classification.confusion(
                classification.count_confusion(outputs, test.y), classes
            ),
            "mistakes": lambda: classification.mistakes(
                test.x, test.y, outputs, classes
            ),
            "first_layer": lambda: classification.first_layer(
                model, classes, dataset.spec.input_shape
            ),
            "reliability": lambda: classification.reliability(outputs, test.y),
            "line": lambda: regression.line(dataset, run.read_result()),
            "path": lambda: regression.path(
                dataset, _start(model), rows, run.read_result()
            ),
        }
        if "confusion" in missing:
            _write_counts(run, classification.count_confusion(outputs, test.y), classes)
    if artifacts:
        missing.append("sizes")
        figures["sizes"] = lambda: sizes(artifacts)
    with canvas.style(classes):
        for name in missing:
            canvas.save(figures[name](), run.plots / f"{name}.png")


def _warn_of_letters(run: RunDir, classes: Sequence[str]) -> None:
    if lacking := typeface.without_font(classes):
        console.warn(
            f"{len(lacking)} of {len(classes)} class names, as {lacking[0]!r}, have "
            "letters that no font here has: pictures show their numbers. Install one "
            f"(apt-get install fonts-noto-cjk), delete {run.plots} and export again."
        )


def _write_counts(run: RunDir, counts: np.ndarray, classes: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    for name, row in zip(classes, counts, strict=True):
        writer.writerow([name, *map(int, row)])
    files.write_bytes(run.plots / "confusion.csv", text.getvalue().encode())


def _start(model: TapeModel) -> tuple[float, float]:
    """Weight and bias that the recipe's initializers give."""
    fresh = type(model).from_config(model.get_config())
    fresh.build((None, 1))
    return fresh.line()
