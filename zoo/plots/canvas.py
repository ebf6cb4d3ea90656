"""What all pictures share: 800 pixels wide, colors for any color vision.

Matplotlib is imported when something is drawn, and nothing is drawn while training.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zoo import files
from zoo.plots import typeface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe and Ito's colors, which color-blind readers can tell apart.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"),
)
BLACK, GRAY = "#000000", "#767676"
SEQUENTIAL, DIVERGING = "cividis", "PuOr"
INCHES, _DPI = 8, 100


@contextlib.contextmanager
def style(names: Sequence[str] = ()) -> Iterator[None]:
    """Sets what all pictures share, and the fonts that ``names`` need."""
    import matplotlib

    settings = {
        "font.family": typeface.families(names),
        "font.size": 10,
        "text.parse_math": False,  # a class may be named "$5 bill"
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.constrained_layout.h_pad": 0.1,
    }
    with matplotlib.rc_context(settings):
        yield


def save(figure: Figure, path: pathlib.Path) -> None:
    """Writes a PNG file whole."""
    with files.replacing(path) as beside:
        # Without the version, the same run gives the same bytes for longer.
        figure.savefig(beside, dpi=_DPI, metadata={"Software": None})


def new_figure(height: float) -> Figure:
    """Returns an empty figure of this height in inches."""
    # Not pyplot, which keeps every figure and may ask for a display.
    from matplotlib.figure import Figure

    return Figure(figsize=(INCHES, height))


def plain_log(axis: Any, major: Any) -> None:
    """Labels a logarithmic axis without powers, which would need math text."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(major)
    axis.set_minor_formatter(NullFormatter())
