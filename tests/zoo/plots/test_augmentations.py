"""The contact sheet of a recipe's augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zoo.data import augment
from zoo.errors import UserError
from zoo.plots import augmentations

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 32, 3)).astype("uint8")
STRENGTHS = {"flip": 1.0, "rotate": 30.0}


@pytest.mark.parametrize("channels", [1, 3])
def test_its_rows_are_what_the_augmentation_makes(channels):
    images = IMAGES[..., :channels]
    drawn = np.asarray(augmentations.draw(images, STRENGTHS, seed=3, title="a title"))
    both = [augment.augment(images, STRENGTHS, (3, step)).numpy() for step in range(4)]
    rotated = augment.augment(images, {"rotate": 30.0}, (3, 0)).numpy()
    rows = [images, images[:, :, ::-1], rotated, *both]
    high, wide = 64 + 6, 128 + 6
    assert drawn.shape[0] == 32 + len(rows) * high
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            y, x = 32 + i * high, drawn.shape[1] - (3 - j) * wide
            cell = drawn[y : y + 64 : 4, x : x + 128 : 4]
            np.testing.assert_array_equal(cell, np.rint(image) + np.zeros(3))
    assert len(np.unique(drawn[:26])) > 2  # the title


def test_it_shows_each_class_once(tmp_path, data_dir, digits):
    augmentations.write(tmp_path / "a.png", "mlp", data_dir=str(data_dir))
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        shown = np.asarray(picture)
    row = shown[32 : 32 + 64, -10 * 70 :].reshape(64, 10, 70, 3)[:, :, :64]
    for label in range(10):
        cell = Image.fromarray(row[:, label]).convert("L").resize((28, 28), 0)
        found = [(x[..., 0] == np.asarray(cell)).all() for x in digits.train.x]
        assert set(digits.train.y[found]) == {label}


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        ("mlp", {"recipe": "tutorial_keras"}, "has no augmentation. With it: default"),
        ("linear", {}, "default of linear has no augmentation. With it: none"),
        ("mlp", {"dataset": "linear_regression"}, "Only images are augmented. Rec"),
        ("mlp", {"recipe": "defalt"}, "Did you mean 'default'"),
    ],
)
def test_what_cannot_be_drawn_is_explained(model, fields, message, tmp_path, data_dir):
    with pytest.raises(UserError, match=message):
        augmentations.write(tmp_path / "a.png", model, data_dir=str(data_dir), **fields)
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_explained(tmp_path, data_dir, digits):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match=r"a.png cannot be written: Is a directory"):
        augmentations.write(tmp_path / "a.png", "mlp", data_dir=str(data_dir))


def test_the_command_writes_it(command, tmp_path, data_dir, digits):
    done = command(
        *("-m", "zoo", "augment", "--model=linear", "--augment=erasing=0.5"),
        *("--output=a.png", f"--data_dir={data_dir}"),
    )
    assert (done.returncode, done.stdout) == (0, "a.png\n"), done.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
