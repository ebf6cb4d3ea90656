"""Draws the pictures of a finished run into R/plots."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import console, files

if TYPE_CHECKING:
    import numpy as np

    from zoo.models.base import TapeModel
    from zoo.training.outcome import TrainedRun
    from zoo.training.rundir import RunDir

#: File names, in the order of the model card, and what the pictures show.
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
_CLASSIFIER = ("curves", "confusion", "mistakes", "first_layer", "reliability")
_REGRESSION = ("curves", "line", "path")


def draw_run(
    trained: TrainedRun, artifacts: Sequence[Mapping[str, Any]] = ()
) -> list[pathlib.Path]:
    """Draws the missing pictures of a finished run, for TensorBoard too.

    Nothing is loaded for pictures that are there. What goes wrong becomes a warning: a
    run is worth more than its pictures.

    Args:
        trained: the run.
        artifacts: records of export.json; with them ``sizes.png`` is drawn again.

    Returns:
        Paths of all pictures in R/plots, in the order of ``TITLES``.
    """
    run = trained.run
    drawn: list[pathlib.Path] = []
    try:
        classes = trained.config["data"]["class_names"]
        names = _CLASSIFIER if classes else _REGRESSION
        missing = [name for name in names if not (run.plots / f"{name}.png").exists()]
        if missing:
            _warn_of_letters(run, classes)
        if artifacts:
            missing.append("sizes")
        for name in missing:
            drawn.append(_draw(name, trained, artifacts))
    except Exception as error:
        # Fonts, damaged weights, a full disk: whatever matplotlib and Keras raise.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        console.warn(f"Not all pictures of {run.path} could be drawn: {said}.")
    if drawn and run.tensorboard.exists():
        from zoo.training import tensorboard

        tensorboard.add_pictures(run.path, drawn)
    return [path for name in TITLES if (path := run.plots / f"{name}.png").exists()]


def _warn_of_letters(run: RunDir, classes: Sequence[str]) -> None:
    from zoo.plots.class_names import find_undrawable

    if undrawable := find_undrawable(classes):
        console.warn(
            f"{len(undrawable)} of {len(classes)} class names, such as "
            f"{undrawable[0]!r}, have letters that no font here has: pictures show "
            "their numbers. Install one (apt-get install fonts-noto-cjk), delete "
            f"{run.plots} and export again."
        )


def _draw(
    name: str, trained: TrainedRun, artifacts: Sequence[Mapping[str, Any]]
) -> pathlib.Path:
    """Draws one picture; returns its path."""
    from sklearn.metrics import confusion_matrix

    from zoo.plots import canvas, classification, regression
    from zoo.plots.curves import curves, read_metrics
    from zoo.plots.sizes import sizes

    run, classes = trained.run, trained.config["data"]["class_names"]
    run.plots.mkdir(exist_ok=True)
    with canvas.style(classes):
        if name == "curves":
            evaluated = "validation" if "validation" in trained.result else "test"
            figure = curves(read_metrics(run.metrics), evaluated)
        elif name == "confusion":
            true, predicted = trained.dataset.test.y, trained.outputs.argmax(axis=1)
            counts = confusion_matrix(true, predicted, labels=range(len(classes)))
            _write_counts(run, counts, classes)
            figure = classification.confusion(counts, classes)
        elif name == "mistakes":
            test = trained.dataset.test
            figure = classification.mistakes(test, trained.outputs, classes)
        elif name == "first_layer":
            shape = trained.config["data"]["input_shape"]
            figure = classification.first_layer(trained.model, classes, shape)
        elif name == "reliability":
            labels = trained.dataset.test.y
            figure = classification.reliability(trained.outputs, labels)
        elif name == "line":
            figure = regression.line(trained.dataset.train, trained.result)
        elif name == "path":
            rows, start = read_metrics(run.metrics), _start(trained.model)
            figure = regression.path(trained.dataset.train, start, rows, trained.result)
        else:
            figure = sizes(artifacts)
        path = run.plots / f"{name}.png"
        canvas.save(figure, path)
    return path


def _write_counts(run: RunDir, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Writes confusion.csv: int counts (classes, classes), true classes are rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, counts, strict=True))
    files.write_bytes(run.plots / "confusion.csv", text.getvalue().encode())


def _start(model: TapeModel) -> tuple[float, float]:
    """Returns the weight and the bias that the recipe's initializers give."""
    fresh = type(model).from_config(model.get_config())
    fresh.build((None, 1))
    return fresh.line()
