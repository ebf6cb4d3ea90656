"""Tests the names of classes in pictures."""

from __future__ import annotations

import warnings

from zoo.plots import canvas


def test_names_are_told_apart_after_shortening():
    names = ["left lung, upper", "left long, upper", "漢字" * 5, "", "a", "a"]
    shown = ["lef…p…#0", "lef…p…#1", "漢字漢…漢字漢字", "#3", "a…#4", "a…#5"]
    assert canvas.shorten(names, 8) == shown


def test_a_letter_that_no_font_has_is_drawn_without_a_warning(tmp_path):
    with warnings.catch_warnings(action="error"), canvas.style():
        figure = canvas.new_figure(1)
        figure.text(0.5, 0.5, "\U000f0000")
        canvas.save(figure, tmp_path / "name.png")
