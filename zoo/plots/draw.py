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
    from matplotlib.figure import Figure

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
        names = _CLASSIFIER if trained.config["data"]["class_names"] else _REGRESSION
        missing = [name for name in names if not (run.plots / f"{name}.png").exists()]
        if artifacts:
            missing.append("sizes")
        if missing:
            _draw(trained, missing, artifacts, drawn)
    except Exception as error:
        # Fonts, damaged weights, a full disk: whatever matplotlib and Keras raise.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        console.warn(f"Not all pictures of {run.path} could be drawn: {said}.")
    if drawn and run.tensorboard.exists():
        from zoo.training import tensorboard

        tensorboard.add_pictures(run.path, drawn)
    return [path for name in TITLES if (path := run.plots / f"{name}.png").exists()]


def _draw(
    trained: TrainedRun,
    names: Sequence[str],
    artifacts: Sequence[Mapping[str, Any]],
    drawn: list[pathlib.Path],
) -> None:
    """Draws the named pictures, and adds the path of each to ``drawn``."""
    from zoo.plots import canvas, class_names

    run, classes = trained.run, trained.config["data"]["class_names"]
    run.plots.mkdir(exist_ok=True)
    undrawable = class_names.find_undrawable(classes)
    if undrawable and names != ["sizes"]:
        console.warn(
            f"{len(undrawable)} of {len(classes)} class names, such as "
            f"{undrawable[0]!r}, have letters that no font here has: pictures show "
            "their numbers. Install one (apt-get install fonts-noto-cjk), delete "
            f"{run.plots} and export again."
        )
    with canvas.style(classes):
        for name in names:
            path = run.plots / f"{name}.png"
            canvas.save(_figure(name, trained, artifacts), path)
            drawn.append(path)


def _figure(
    name: str, trained: TrainedRun, artifacts: Sequence[Mapping[str, Any]]
) -> Figure:
    from sklearn.metrics import confusion_matrix

    from zoo.plots import classification, regression
    from zoo.plots.curves import curves, read_metrics
    from zoo.plots.sizes import sizes

    if name == "sizes":
        return sizes(artifacts)
    if name == "curves":
        return curves(read_metrics(trained.run.metrics))
    data, outputs, result = trained.dataset, trained.outputs, trained.result
    labels, classes = data.test.y, trained.config["data"]["class_names"]
    if name == "confusion":
        predicted = outputs.argmax(axis=1)
        counts = confusion_matrix(labels, predicted, labels=range(len(classes)))
        write_counts(trained.run, counts, classes)
        return classification.confusion(counts, classes)
    if name == "mistakes":
        return classification.mistakes(data.test.x, labels, outputs, classes)
    if name == "first_layer":
        shape = data.spec.input_shape
        return classification.first_layer(trained.model, classes, shape)
    if name == "reliability":
        return classification.reliability(outputs, labels)
    if name == "line":
        return regression.line(data.train, result)
    assert name == "path"
    rows = read_metrics(trained.run.metrics)
    return regression.path(data.train, _start(trained.model), rows, result)


def write_counts(run: RunDir, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Writes confusion.csv: int counts (classes, classes), true classes are rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    for name, row in zip(classes, counts.tolist(), strict=True):
        writer.writerow([name, *row])
    files.write_bytes(run.plots / "confusion.csv", text.getvalue().encode())


def _start(model: TapeModel) -> tuple[float, float]:
    """Returns the weight and the bias that the recipe's initializers give."""
    fresh = type(model).from_config(model.get_config())
    fresh.build((None, 1))
    return fresh.line()
