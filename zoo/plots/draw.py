"""Draws the pictures of a finished run into R/plots."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zoo import console, files

if TYPE_CHECKING:
    from zoo.records.rundir import RunDir
    from zoo.runs.run import TrainedRun

#: File names in the order of the model card, and the titles of the pictures.
TITLES = {
    "curves": "Learning curves",
    "confusion": "Confusion matrix of the test split",
    "mistakes": "The most confident mistakes of the test split",
    "first_layer": "What the first layer learned",
    "reliability": "Reliability of the probabilities on the test split",
    "line": "The learned line and the least-squares line",
    "path": "The path of weight and bias on the loss surface",
    "sizes": "Size, accuracy and latency of the exported files",
}
#: How to read a picture.
CAPTIONS = {
    "curves": "The training curve is the mean over an epoch, with augmentation and "
    "dropout where the recipe has them; the other curve is measured after the epoch "
    "without them, so it can lie above.",
    "confusion": "Each row is a true class and each column a predicted class; correct "
    "predictions are on the diagonal. Colors show shares of the row.",
    "mistakes": "Each image has its true class, the predicted class and the "
    "probability that the model gave to its prediction.",
    "first_layer": "In gray images, a bright pixel raises the output of a unit or "
    "filter where its weight is purple and lowers it where its weight is orange. A "
    "filter slides over the image; a unit or template sees all of it at once.",
    "reliability": "A bar that ends on the dashed line is calibrated: predictions with "
    "a confidence of 80% are right 80% of the time. A bar above the line shows "
    "predictions that are right more often than their confidence says. Pale bars stand "
    "for few examples.",
    "line": "Both lines coincide when the training has converged.",
    "path": "Each dot is the state after one epoch; darker rings have a lower loss.",
    "sizes": "The latency was measured on the machine that exported the files.",
}
_CLASSIFIER = ("curves", "confusion", "mistakes", "first_layer", "reliability")
_REGRESSION = ("curves", "line", "path")


def draw_run(
    trained: TrainedRun, artifacts: Sequence[Mapping[str, Any]] = ()
) -> list[pathlib.Path]:
    """Draws the missing pictures of a finished run.

    Nothing is loaded if all pictures exist. An error becomes a warning, because a run
    is worth more than its pictures.

    Args:
        trained: the finished run.
        artifacts: records of export.json. If given, ``sizes.png`` is drawn again.

    Returns:
        Paths of all pictures in R/plots, in the order of ``TITLES``.
    """
    run = trained.run
    try:
        classes = trained.config["data"]["class_names"]
        names = list(_CLASSIFIER if classes else _REGRESSION)
        if trained.result["test"].get("accuracy") == 1:
            names.remove("mistakes")  # there is none to show
        missing = [name for name in names if not (run.plots / f"{name}.png").exists()]
        if missing:
            _warn_of_letters(run.plots, classes)
        if artifacts:
            missing.append("sizes")
        for name in missing:
            _draw(name, trained, artifacts)
    except Exception as error:
        # Matplotlib and Keras raise many kinds of errors: fonts, weights, a full disk.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        console.warn(f"Not all pictures of {run.path} could be drawn: {said}.")
    return list_pictures(run)


def list_pictures(run: RunDir) -> list[pathlib.Path]:
    """Returns the paths of all pictures in R/plots, in the order of ``TITLES``."""
    return [path for name in TITLES if (path := run.plots / f"{name}.png").exists()]


def _warn_of_letters(plots: pathlib.Path, classes: Sequence[str]) -> None:
    from zoo.plots.canvas import find_undrawable

    if undrawable := find_undrawable(classes):
        console.warn(
            f"{len(undrawable)} of {len(classes)} class names, such as "
            f"{undrawable[0]!r}, have letters that no font here has: pictures show "
            "their numbers. Install one (apt-get install fonts-noto-cjk), delete "
            f"{plots} and export again."
        )


def _draw(
    name: str, trained: TrainedRun, artifacts: Sequence[Mapping[str, Any]]
) -> pathlib.Path:
    """Draws one picture; returns its path."""
    from zoo.plots import canvas, classification, overview, regression

    figures = {
        "curves": overview.curves,
        "confusion": classification.confusion,
        "mistakes": classification.mistakes,
        "first_layer": classification.first_layer,
        "reliability": classification.reliability,
        "line": regression.line,
        "path": regression.path,
        "sizes": lambda _: overview.sizes(artifacts),
    }
    classes = trained.config["data"]["class_names"]
    path = trained.run.plots / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    if name == "confusion":
        counts = classification.count_answers(trained)
        rows = [("true class", *classes), *zip(classes, *counts.T, strict=True)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        files.write_bytes(path.with_suffix(".csv"), text.getvalue().encode())
    with canvas.style(classes):
        canvas.save(figures[name](trained), path)
    return path
