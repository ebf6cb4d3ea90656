"""Picture of what a recipe's augmentation does to a dataset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from zoo.data import augment
from zoo.data.dataset import Split
from zoo.data.draws import Draws
from zoo.plots import canvas

COLUMNS = 10
STEPS = 4
_PAPER = 232  # the gray between the images, 0..255


def augmentations(train: Split, strengths: Mapping[str, float], seed: int) -> Figure:
    """Draws one row for each change, then rows with all changes together.

    Args:
        train: images (n, height, width, 1 or 3). Each column shows the first image of
            a class.
        strengths: strength of each change by its name, see
            ``zoo.recipe.AUGMENTATIONS``.
        seed: the seed of the run.
    """
    _, first = np.unique(train.y, return_index=True)
    images = train.x[first[:COLUMNS]]
    rows = {"unchanged": images}
    for name, strength in strengths.items():
        draws = Draws((seed, 0), len(images))
        rows[f"{name} {strength:g}"] = augment.augment(images, {name: strength}, draws)
    for step in range(STEPS):
        draws = Draws((seed, step), len(images))
        rows[f"all, step {step}"] = augment.augment(images, strengths, draws)
    gap = max(1, images.shape[1] // 20)
    around = ((0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0))
    cells = np.pad(np.stack(list(rows.values())), around, constant_values=_PAPER)
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
