"""Picture of what a recipe's augmentation does to a dataset."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from zoo import registry
from zoo.data import augment, load
from zoo.data.draws import Draws
from zoo.errors import UserError
from zoo.plots import canvas

COLUMNS = 10
STEPS = 4
_PAPER = 232  # the gray between the images, 0..255


def save_augmentations(
    path: pathlib.Path,
    model: str,
    recipe: str = "default",
    dataset: str = "digits",
    *,
    strengths: Mapping[str, float] | None = None,
    data_dir: str | None = None,
    seed: int = 0,
) -> None:
    """Writes what a recipe's augmentation does to a dataset as a PNG file.

    With ``strengths`` these are drawn instead of the recipe's ``augment``.

    Raises:
        UserError: unknown names, a recipe without augmentation, a dataset without
            images, or a path that cannot be written.
        RunError: the dataset cannot be had.
    """
    title = "--augment"
    if strengths is None:
        title = f"{model}, recipe {recipe}"
        strengths = registry.get_recipe(model, recipe).augment
    if not strengths:
        recipes = registry.list_recipes(model)
        others = [r for r in recipes if registry.get_recipe(model, r).augment]
        raise UserError(
            f"The recipe {recipe} of {model} has no augmentation. Recipes that have "
            f"one: {', '.join(others) or 'none'}. Or pass --augment."
        )
    data = load.load(dataset, data_dir=data_dir)
    if data.spec.task != "classification":
        raise UserError(f"Only images are augmented. Received: --dataset={dataset}.")
    _, first = np.unique(data.train.y, return_index=True)
    images = data.train.x[first[:COLUMNS]]
    with canvas.style():
        figure = augmentations(images, strengths, seed=seed)
        figure.suptitle(f"{title}, on {data.spec.name}", fontsize=11)
        try:
            canvas.save(figure, path)
        except OSError as error:
            raise UserError(
                f"--output={path} cannot be written: {error.strerror}."
            ) from error


def augmentations(
    images: np.ndarray, strengths: Mapping[str, float], *, seed: int = 0
) -> Figure:
    """Draws one row for each change, and rows of all changes together.

    Args:
        images: uint8 (n, height, width, 1 or 3), one for each column.
        strengths: by name, see ``zoo.recipe.AUGMENTATIONS``.
        seed: the seed of the run.
    """
    rows = {"unchanged": images}
    for name, strength in strengths.items():
        draws = Draws((seed, 0), len(images))
        changed = augment.augment(images, {name: strength}, draws)
        rows[f"{name} {strength:g}"] = changed
    for step in range(STEPS):
        draws = Draws((seed, step), len(images))
        rows[f"all, step {step}"] = augment.augment(images, strengths, draws)
    count, height, width, channels = images.shape
    gap = max(1, height // 20)
    cells = np.full(
        (len(rows), count, height + 2 * gap, width + 2 * gap, channels), float(_PAPER)
    )
    cells[:, :, gap:-gap, gap:-gap] = list(rows.values())
    wall = np.concatenate(np.concatenate(cells, axis=1), axis=1)
    figure = canvas.new_figure(1 + 6.5 * wall.shape[0] / wall.shape[1])
    axes = figure.subplots()
    canvas.show_image(axes, wall)
    middles = (np.arange(len(rows)) + 0.5) * cells.shape[2] - 0.5
    axes.set_yticks(middles, list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
