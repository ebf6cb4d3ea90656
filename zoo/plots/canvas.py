"""The style of all pictures: size, colors, and fonts for class names."""

from __future__ import annotations

import contextlib
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from zoo import files

# Okabe and Ito's colors, which color-blind readers can tell apart.
BLUE, ORANGE, SKY, VERMILION = "#0072B2", "#E69F00", "#56B4E9", "#D55E00"
GRAY, SILVER, PALE = "#767676", "#C4C4C4", "#D5E9F5"
SEQUENTIAL, DIVERGING = "cividis", "PuOr"
INCHES, _DPI = 8, 100
# Matplotlib looks for each letter in this order. The first font comes with it.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Sets the style of all pictures within the context."""
    installed = font_manager.get_font_names()
    context = matplotlib.rc_context(
        {
            "font.family": [name for name in _FONTS if name in installed],
            "font.size": 10,
            "text.parse_math": False,  # a class may be named "$5 bill"
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "figure.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.w_pad": 0.1,
            "figure.constrained_layout.h_pad": 0.1,
        }
    )
    with context, warnings.catch_warnings():
        # A letter that no font has is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_figure(height: float) -> Figure:
    """Returns an empty figure that is ``height`` inches high."""
    # pyplot would keep every figure and may need a display.
    return Figure(figsize=(INCHES, height))


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a PNG file; leaves no partial file if that fails."""
    with files.replacing(path) as beside:
        # Leave out matplotlib's version, so that the bytes do not depend on it.
        figure.savefig(beside, format="png", dpi=_DPI, metadata={"Software": None})


def new_grid(height: float, rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    """Returns a figure and its axes, in row order and without ticks."""
    figure = new_figure(height)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for each in axes:
        each.axis("off")
    return figure, axes


def show_image(axes: Any, image: np.ndarray) -> None:
    """Shows an image (height, width, 1 or 3), 0..255."""
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    axes.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def shorten(names: Sequence[str], length: int) -> list[str]:
    """Returns names that fit into a picture and differ from each other.

    Long names lose their middle. An empty name becomes its number, such as ``#17``, and
    names that would look alike get theirs at the end.

    Args:
        names: names of the classes, in order.
        length: largest number of letters, 8 or more.
    """
    texts = [" ".join(name.split()) or f"#{i}" for i, name in enumerate(names)]
    half = (length - 1) // 2
    texts = [
        text if len(text) <= length else f"{text[:half]}…{text[half + 1 - length :]}"
        for text in texts
    ]
    alike = {text for text in texts if texts.count(text) > 1}
    for i, text in enumerate(texts):
        if text in alike:
            texts[i] = f"{text[: length - len(f'…#{i}')]}…#{i}"
    return texts
