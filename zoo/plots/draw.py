"""Draws the pictures of a finished run into R/plots."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from zoo import console, files
from zoo.plots import batch, canvas, classification, overview, regression
from zoo.records.rundir import RunDir
from zoo.runs.run import Run

#: File names in the order of the model card, and the titles of the pictures.
TITLES = {
    "curves": "Learning curves",
    "batch": "The first batch of the training",
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
    "batch": "Each image is as the network saw it in the first step: shuffled, resized "
    "and augmented.",
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
Draw = Callable[[Run], Figure | None]  # None if there is nothing to show
CLASSIFIER: dict[str, Draw] = {
    "curves": overview.curves,
    "batch": batch.batch,
    "confusion": classification.confusion,
    "mistakes": classification.mistakes,
    "first_layer": classification.first_layer,
    "reliability": classification.reliability,
}
REGRESSION: dict[str, Draw] = {
    "curves": overview.curves,
    "line": regression.line,
    "path": regression.path,
}


def draw_run(
    trained: Run, artifacts: Sequence[Mapping[str, Any]] = ()
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
        run.plots.mkdir(exist_ok=True)
        classes = trained.config["data"]["class_names"]
        figures = CLASSIFIER if classes else REGRESSION
        if artifacts:
            figures = figures | {"sizes": lambda _: overview.sizes(artifacts)}
        for name, draw in figures.items():
            path = run.plots / f"{name}.png"
            if path.exists() and name != "sizes":
                continue
            with canvas.style():
                if figure := draw(trained):
                    canvas.save(figure, path)
            if name == "confusion":
                _write_counts(trained, path.with_suffix(".csv"))
    except Exception as error:
        # Matplotlib and Keras raise many kinds of errors: fonts, weights, a full disk.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        console.warn(f"Not all pictures of {run.path} could be drawn: {said}.")
    return list_pictures(run)


def _write_counts(trained: Run, path: pathlib.Path) -> None:
    """Writes the confusion matrix as a table."""
    classes = trained.config["data"]["class_names"]
    counts = classification.count_answers(trained)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, counts, strict=True))
    files.write_bytes(path, text.getvalue().encode())


def list_pictures(run: RunDir) -> list[pathlib.Path]:
    """Returns the paths of all pictures in R/plots, in the order of ``TITLES``."""
    return [path for name in TITLES if (path := run.plots / f"{name}.png").exists()]
