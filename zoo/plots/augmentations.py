"""A contact sheet: what a recipe's augmentation does to a dataset, as a picture."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo import files, registry
from zoo.data import augment, load
from zoo.errors import UserError

COLUMNS = 10
STEPS = 4
_CELL = 64  # height of an image, in pixels
_GAP = 6
_TEXT = 14
_PAPER, _INK, _GRAY = "#e8e8e8", "black", "#666666"


def write(
    path: pathlib.Path,
    model: str,
    recipe: str = "default",
    dataset: str = "digits",
    *,
    strengths: Mapping[str, float] | None = None,
    data_dir: str | None = None,
    seed: int = 0,
) -> None:
    """Writes the sheet of a recipe on a dataset as a PNG file.

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
        raise UserError(
            f"The recipe {recipe} of {model} has no augmentation. With it: "
            f"{', '.join(_augmenting(model)) or 'none'}. Or pass --augment."
        )
    data = load.load(dataset, data_dir=data_dir)
    if data.spec.task != "classification":
        raise UserError(f"Only images are augmented. Received: --dataset={dataset}.")
    _, first = np.unique(data.train.y, return_index=True)
    images = data.train.x[first[:COLUMNS]]
    title += f", on {data.spec.name}"
    sheet = draw(images, strengths, seed=seed, title=title)
    try:
        with files.replacing(path) as beside:
            sheet.save(beside, format="PNG")
    except OSError as error:
        raise UserError(
            f"--output={path} cannot be written: {error.strerror}."
        ) from error


def _augmenting(model: str) -> list[str]:
    return [
        name
        for name in registry.list_recipes(model)
        if registry.get_recipe(model, name).augment
    ]


def draw(
    images: np.ndarray,
    strengths: Mapping[str, float],
    *,
    seed: int = 0,
    title: str = "",
) -> Image.Image:
    """Draws a row for each change, and rows of all of them together.

    Args:
        images: uint8 (n, height, width, 1 or 3), one for each column.
        strengths: by name, see ``zoo.recipe.AUGMENTATIONS``.
        seed: of the run.
        title: what is written above.
    """
    rows = [("as they are", "", images)]
    for name, strength in strengths.items():
        changed = augment.augment(images, {name: strength}, (seed, 0)).numpy()
        rows.append((name, f"{strength:g}", changed))
    for step in range(STEPS):
        changed = augment.augment(images, strengths, (seed, step)).numpy()
        rows.append(("together", f"step {step}", changed))
    height, width = images.shape[1:3]
    cell = (max(1, _CELL * width // height), _CELL)
    font = ImageFont.load_default(size=_TEXT)
    margin = _GAP + round(max(font.getlength(f"{a}  {b}") for a, b, _ in rows)) + _GAP
    top = _TEXT + 3 * _GAP
    paper = Image.new(
        "RGB",
        (
            margin + len(images) * (cell[0] + _GAP),
            top + len(rows) * (cell[1] + _GAP),
        ),
        _PAPER,
    )
    pen = ImageDraw.Draw(paper)
    pen.text((_GAP, _GAP), title, _INK, font)
    for i, (name, detail, row) in enumerate(rows):
        y = top + i * (cell[1] + _GAP)
        middle = y + cell[1] // 2
        pen.text((_GAP, middle), name, _INK, font, anchor="lm")
        pen.text((margin - _GAP, middle), detail, _GRAY, font, anchor="rm")
        for j, image in enumerate(row):
            paper.paste(_picture(image, cell), (margin + j * (cell[0] + _GAP), y))
    return paper


def _picture(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    # Pixels that are enlarged stay to be seen.
    larger = size[1] >= picture.height
    return picture.resize(
        size, Image.Resampling.NEAREST if larger else Image.Resampling.BOX
    )
