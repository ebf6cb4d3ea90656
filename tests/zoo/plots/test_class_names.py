"""Names of classes, short and in letters that a font has."""

from __future__ import annotations

import pytest

from zoo.plots import canvas, class_names

PRIVATE = "\U000f0000"  # a letter that no font has


@pytest.mark.filterwarnings("error:Glyph")
def test_letters_come_from_whatever_font_has_them(tmp_path):
    name = "ᶁog"  # its first letter is in STIX, beside matplotlib's own font
    assert class_names.find_fonts(["cat"]) == (["DejaVu Sans"], set())
    families, lacking = class_names.find_fonts(["cat", name, PRIVATE])
    assert families[0] == "DejaVu Sans"
    assert len(families) == 2
    assert lacking == {PRIVATE}
    with canvas.style([name]):
        figure = canvas.new_figure(1)
        figure.text(0.5, 0.5, name)
        canvas.save(figure, tmp_path / "name.png")


def test_names_are_told_apart_after_shortening():
    names = ["left lung, upper", "left long, upper", "漢字" * 3, "漢", "a", "a"]
    shown = class_names.shorten(names, 8)
    assert len(set(shown)) == len(shown)
    assert all(len(text) <= 8 for text in shown)
    assert class_names.shorten(["cat", "dog"], 8) == ["cat", "dog"]
    assert len(set(class_names.shorten(["a", "a", "a…#0"], 8))) == 3


def test_a_letter_that_no_font_has_becomes_a_number():
    assert class_names.shorten(["cat", PRIVATE], 8) == ["cat", "#1"]
    assert class_names.find_undrawable(["cat", PRIVATE, "a\nb"]) == [PRIVATE]
