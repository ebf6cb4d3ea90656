"""Names of classes, short and in letters that a font has."""

from __future__ import annotations

from zoo.plots import typeface


def test_names_are_told_apart_after_shortening():
    names = ["left lung, upper", "left long, upper", "漢字" * 3, "漢", "a", "a"]
    shown = typeface.labels(names, 8)
    assert len(set(shown)) == len(shown)
    assert all(len(text) <= 8 for text in shown)
    assert typeface.labels(["cat", "dog"], 8) == ["cat", "dog"]
    assert len(set(typeface.labels(["a", "a", "a…#0"], 8))) == 3


def test_a_letter_that_no_font_has_becomes_a_number():
    private = "\U000f0000"
    assert typeface.labels(["cat", private], 8) == ["cat", "#1"]
    assert typeface.without_font(["cat", private, "a\nb"]) == [private]
