"""The picture of a recipe's augmentation."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import cli
from zoo.data import augment
from zoo.data.draws import Draws
from zoo.errors import UserError
from zoo.plots import augmentations, canvas

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 32, 3)).astype("uint8")
STRENGTHS = {"flip": 1.0, "rotate": 30.0}


@pytest.mark.parametrize("channels", [1, 3])
def test_its_rows_are_what_the_augmentation_makes(channels):
    images = IMAGES[..., :channels]
    (axes,) = augmentations.augmentations(images, STRENGTHS, seed=3).axes
    shown = np.asarray(axes.images[0].get_array()).reshape(7, 18, 3, 34, 3)
    rows = {
        "unchanged": images,
        "flip 1": images[:, :, ::-1],
        "rotate 30": augment.augment(images, {"rotate": 30.0}, Draws((3, 0), 3)),
    }
    for step in range(4):
        draws = Draws((3, step), 3)
        rows[f"all, step {step}"] = augment.augment(images, STRENGTHS, draws)
    assert [text.get_text() for text in axes.get_yticklabels()] == list(rows)
    for cells, row in zip(shown, rows.values(), strict=True):
        cells = cells.swapaxes(0, 1)[:, 1:-1, 1:-1]
        np.testing.assert_array_equal(cells, np.rint(row) + np.zeros(3))


def test_it_shows_each_class_once(tmp_path, data_dir, digits, monkeypatch):
    figures = []
    monkeypatch.setattr(canvas, "save", lambda figure, _: figures.append(figure))
    augmentations.save_augmentations(tmp_path / "a.png", "mlp", data_dir=str(data_dir))
    (axes,) = figures[0].axes
    row = np.asarray(axes.images[0].get_array())[:30, :, 0].reshape(30, 10, 30)[
        1:-1, :, 1:-1
    ]
    for label in range(10):
        found = (digits.train.x[..., 0] == row[:, label]).all(axis=(1, 2))
        assert set(digits.train.y[found]) == {label}


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("mlp", {"recipe": "tutorial_keras"}, "has no augmentation. .* one: default"),
        ("linear", {}, "default of linear has no augmentation. Recipes .* one: none"),
        ("mlp", {"dataset": "linear_regression"}, "Only images are augmented. Rec"),
        ("mlp", {"recipe": "defalt"}, "Did you mean 'default'"),
        ("mlp", {}, r"a.png cannot be written: Is a directory"),
    ],
)
def test_what_cannot_be_drawn_is_explained(model, fields, message, tmp_path, data_dir):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match=message):
        augmentations.save_augmentations(
            tmp_path / "a.png", model, data_dir=str(data_dir), **fields
        )
    assert list(tmp_path.glob("*")) == [tmp_path / "a.png"]


def test_the_command_writes_it(tmp_path, data_dir, digits, capsys):
    path = tmp_path / "a.png"
    flags = ["--model=linear", "--augment=erasing=0.5", f"--data_dir={data_dir}"]
    cli.main(["zoo", "augment", *flags, f"--output={path}"])
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")
