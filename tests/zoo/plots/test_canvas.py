"""Tests the names of classes in pictures."""

from __future__ import annotations

import warnings

from zoo.plots import canvas


def test_names_are_told_apart_after_shortening():
    names = ["left lung, upper", "left long, upper", "漢字" * 5, "", "a", "a"]
    shown = canvas.shorten(names, 8)
    assert len(set(shown)) == len(shown)
    assert all(1 <= len(text) <= 8 for text in shown)
    assert canvas.shorten(["cat", "dog", ""], 8) == ["cat", "dog", "#2"]
    assert len(set(canvas.shorten(["a", "a", "a…#0"], 8))) == 3


def test_a_letter_that_no_font_has_is_drawn_without_a_warning(tmp_path):
    with warnings.catch_warnings(action="error"), canvas.style():
        figure = canvas.new_figure(1)
        figure.text(0.5, 0.5, "\U000f0000")
        canvas.save(figure, tmp_path / "name.png")
