"""What all pictures share: 800 pixels wide, colors for any color vision."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from zoo import files
from zoo.plots import class_names

# Okabe and Ito's colors, which color-blind readers can tell apart.
BLUE, ORANGE, SKY, VERMILION = "#0072B2", "#E69F00", "#56B4E9", "#D55E00"
GREEN, PURPLE, BLACK, GRAY = "#009E73", "#CC79A7", "#000000", "#767676"
_CYCLE = [BLUE, VERMILION, GREEN, BLACK, PURPLE, ORANGE, SKY]
SEQUENTIAL, DIVERGING = "cividis", "PuOr"
INCHES, _DPI = 8, 100


def style(names: Sequence[str] = ()) -> contextlib.AbstractContextManager[None]:
    """Sets what all pictures share, and the fonts that ``names`` need."""
    return matplotlib.rc_context(
        {
            "font.family": class_names.find_fonts(names)[0],
            "font.size": 10,
            "text.parse_math": False,  # a class may be named "$5 bill"
            "axes.prop_cycle": matplotlib.cycler(color=_CYCLE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.w_pad": 0.1,
            "figure.constrained_layout.h_pad": 0.1,
        }
    )


def new_figure(height: float) -> Figure:
    """Returns an empty figure of this height in inches."""
    # Not pyplot, which keeps every figure and may ask for a display.
    return Figure(figsize=(INCHES, height))


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a PNG file whole."""
    with files.replacing(path) as beside:
        # Without matplotlib's version, which would change the bytes.
        figure.savefig(beside, format="png", dpi=_DPI, metadata={"Software": None})


def grid(figure: Figure, rows: int, columns: int) -> np.ndarray:
    """Returns axes in reading order, for pictures that need no ticks."""
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for each in axes:
        each.axis("off")
    return axes


def show_image(axes: Any, image: np.ndarray) -> None:
    """Shows an image (height, width, 1 or 3), 0..255."""
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    axes.imshow(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def plain_log(axis: Any, major: Any) -> None:
    """Labels a logarithmic axis without powers, which would need math text."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(major)
    axis.set_minor_formatter(NullFormatter())
