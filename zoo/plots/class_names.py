"""Class names as they can be drawn: fonts that have their letters, and lengths."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from matplotlib import font_manager

#: Comes with matplotlib: Latin, Greek, Cyrillic, Hebrew, Arabic and more.
DEFAULT = "DejaVu Sans"


def find_fonts(names: Sequence[str]) -> tuple[list[str], set[str]]:
    """Returns families of fonts for ``names``, and the letters that none of them has.

    Matplotlib's own font comes first; other fonts of this machine follow where it lacks
    letters. Matplotlib looks for each letter in this order.
    """
    families = [DEFAULT]
    lacking = set("".join("".join(names).split())) - _letters(DEFAULT)
    # Noto is made to go together, whatever the script.
    for family in sorted(
        font_manager.get_font_names() if lacking else (),
        key=lambda family: (not family.startswith("Noto Sans"), family),
    ):
        if lacking & _letters(family):
            families.append(family)
            lacking -= _letters(family)
    return families, lacking


@functools.cache
def _letters(family: str) -> frozenset[str]:
    """Returns what a family's regular font has: nothing if it cannot be drawn."""
    if "Last Resort" in family:  # comes with matplotlib; a box for every letter
        return frozenset()
    try:
        font = font_manager.get_font(font_manager.findfont(family))
        # Fonts of color emoji are not scalable.
        return frozenset(map(chr, font.get_charmap() if font.scalable else ()))
    except Exception:
        # FreeType has an error of its own for each way in which a file is damaged.
        return frozenset()


def find_undrawable(names: Sequence[str]) -> list[str]:
    """Returns those of ``names`` that have letters which no font here has."""
    _, lacking = find_fonts(names)
    return [name for name in names if lacking & set(name)]


def shorten(names: Sequence[str], length: int) -> list[str]:
    """Returns names that fit into a picture and are told apart.

    Long names lose their middle. A name that no font here can show becomes its number,
    such as ``#17``, since boxes would look like any other name's.

    Args:
        names: names of the classes, in order.
        length: letters that there is room for, 4 or more.
    """
    undrawable = set(find_undrawable(names))
    result = []
    for number, name in enumerate(names):
        text = " ".join(name.split())
        if not text or name in undrawable:
            text = f"#{number}"
        if len(text) > length:
            head = (length - 1) // 2
            text = f"{text[:head]}…{text[head + 1 - length :]}"
        result.append(text)
    # A name with a number at its end may be another's name: repeat until all differ.
    while doubles := {text for text in result if result.count(text) > 1}:
        for number, text in enumerate(result):
            if text in doubles:
                end = f"…#{number}"
                result[number] = text[: max(length - len(end), 0)] + end
    return result
