"""Names of classes as they can be drawn: fonts that have their letters, and lengths."""

from __future__ import annotations

import functools
from collections.abc import Sequence

#: Comes with matplotlib: Latin, Greek, Cyrillic, Hebrew, Arabic and more.
DEFAULT = "DejaVu Sans"


def families(names: Sequence[str]) -> list[str]:
    """Returns families of fonts that together have the letters of ``names``.

    Matplotlib's own comes first; others of this machine follow where it lacks letters.
    """
    missing = set("".join(names)) - _letters(DEFAULT)
    found = [DEFAULT]
    for family in _installed() if missing else ():
        if shared := missing & _letters(family):
            found.append(family)
            missing -= shared
    return found


def without_font(names: Sequence[str]) -> list[str]:
    """Returns those of ``names`` that have letters which no font here has."""
    known = set().union(*map(_letters, families(names)))
    return [name for name in names if not set("".join(name.split())) <= known]


def labels(names: Sequence[str], length: int) -> list[str]:
    """Returns names fit for a picture, one for each, told apart.

    Long ones lose their middle. One that no font here can show becomes its number,
    as ``#17``, since boxes would look like any other name's.

    Args:
        names: of the classes, in order.
        length: letters that there is room for, 4 or more.
    """
    lacking = set(without_font(names))
    result = []
    for number, name in enumerate(names):
        text = " ".join(name.split())
        if not text or name in lacking:
            text = f"#{number}"
        if len(text) > length:
            head = (length - 1) // 2
            text = f"{text[:head]}…{text[head + 1 - length :]}"
        result.append(text)
    # A numbered one may be another's name. Each round numbers one more, to its end.
    while doubles := {text for text in result if result.count(text) > 1}:
        result = [
            _numbered(text, number, length) if text in doubles else text
            for number, text in enumerate(result)
        ]
    return result


def _numbered(text: str, number: int, length: int) -> str:
    end = f"#{number}"
    return f"{text[: max(length - len(end) - 1, 0)]}…{end}"


@functools.cache
def _letters(family: str) -> frozenset[str]:
    """Returns what a family's regular font has: empty if it cannot be drawn."""
    from matplotlib import font_manager

    try:
        font = font_manager.get_font(_files()[family])
        if not font.scalable:  # as fonts of color emoji are
            return frozenset()
        return frozenset(map(chr, font.get_charmap())) | {" "}
    except Exception:
        # FreeType has an error of its own for each way in which a file is damaged.
        return frozenset()


def _installed() -> list[str]:
    # Noto is made to go together, whatever the script.
    return sorted(_files(), key=lambda name: (not name.startswith("Noto Sans"), name))


@functools.cache
def _files() -> dict[str, str]:
    """Returns a file for each family, of its regular font where there is one."""
    from matplotlib import font_manager

    fonts = sorted(
        font_manager.fontManager.ttflist,
        key=lambda font: font.style == "normal" and font.weight in (400, "normal"),
    )
    # "Last Resort", which comes with matplotlib, has a box for every letter there is.
    return {font.name: font.fname for font in fonts if "Last Resort" not in font.name}
