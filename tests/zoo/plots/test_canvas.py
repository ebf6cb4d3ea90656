"""Tests shortening class names, and finding fonts for their letters."""

from __future__ import annotations

import pytest

from zoo.plots import canvas

PRIVATE = "\U000f0000"  # a letter that no font has


@pytest.mark.filterwarnings("error:Glyph")
def test_letters_come_from_whatever_font_has_them(tmp_path):
    name = "ᶁog"  # STIX has its first letter, matplotlib's own font has not
    assert canvas.find_fonts(["cat"]) == (["DejaVu Sans"], set())
    families, lacking = canvas.find_fonts(["cat", name, PRIVATE])
    assert families[0] == "DejaVu Sans"
    assert len(families) == 2
    assert lacking == {PRIVATE}
    with canvas.style([name]):
        figure = canvas.new_figure(1)
        figure.text(0.5, 0.5, name)
        canvas.save(figure, tmp_path / "name.png")


def test_names_are_told_apart_after_shortening():
    names = ["left lung, upper", "left long, upper", "漢字" * 3, "漢", "a", "a"]
    shown = canvas.shorten(names, 8)
    assert len(set(shown)) == len(shown)
    assert all(len(text) <= 8 for text in shown)
    assert canvas.shorten(["cat", "dog"], 8) == ["cat", "dog"]
    assert len(set(canvas.shorten(["a", "a", "a…#0"], 8))) == 3
    # A letter that no font has becomes a number.
    assert canvas.shorten(["cat", PRIVATE], 8) == ["cat", "#1"]
    assert canvas.find_undrawable(["cat", PRIVATE, "a\nb"]) == [PRIVATE]
