"""Picture of the first batch: training images as the network sees them."""

from __future__ import annotations

from matplotlib.figure import Figure

from zoo.data import pipeline
from zoo.plots import canvas
from zoo.recipe import Recipe
from zoo.runs.run import Run

IMAGES = 24
COLUMNS = 8


def batch(trained: Run) -> Figure | None:
    """Draws images of the first training step, shuffled and augmented as in the run.

    Returns:
        None if the training images are not on this machine, as for pretrained weights
        with the sample that comes with them.
    """
    identity, train = trained.config["identity"], trained.dataset.train
    if len(train.y) != trained.result["num_train_examples"]:
        return None
    recipe = Recipe(**identity["settings"])
    plan = pipeline.make_plan(recipe, len(train.y))
    batches = pipeline.TrainingBatches(train, plan, recipe, seed=identity["seed"])
    images, labels = next(batches.take(1).as_numpy_iterator())
    names = canvas.shorten(trained.config["data"]["class_names"], 12)
    shown = images[:IMAGES]
    rows = -(-len(shown) // COLUMNS)
    cell = canvas.INCHES / COLUMNS * shown.shape[1] / shown.shape[2]
    figure, grid = canvas.new_grid(0.7 + rows * (cell + 0.2), rows, COLUMNS)
    for axes, image, label in zip(grid, shown, labels, strict=False):
        canvas.show_image(axes, image)
        axes.set_title(names[label], fontsize=8)
    changes = ", ".join(f"{name} {value:g}" for name, value in recipe.augment.items())
    figure.suptitle(
        f"{len(shown)} of the {len(labels):,} training images of the first step\n"
        f"Augmentation: {changes or 'none'}"
    )
    return figure
