"""Tests the picture of a recipe's augmentation."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.commands import cli
from zoo.data import augment
from zoo.data.dataset import Split
from zoo.data.draws import Draws
from zoo.errors import UserError
from zoo.plots import augmentations

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 32, 3)).astype("uint8")
LABELS = np.array([1, 1, 0, 2, 0, 1])
STRENGTHS = {"flip": 1.0, "rotate": 30.0}


@pytest.mark.parametrize("channels", [1, 3])
def test_its_rows_are_what_the_augmentation_makes_of_each_class(channels):
    train = Split(IMAGES[..., :channels], LABELS)
    (axes,) = augmentations.augmentations(train, STRENGTHS, seed=3).axes
    shown = np.asarray(axes.images[0].get_array()).reshape(7, 18, 3, 34, 3)
    images = train.x[[2, 0, 3]]
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


@pytest.fixture
def run(tmp_path, data_dir):
    """Runs the command that writes a.png."""

    def augment(flags):
        places = f"--data_dir={data_dir}", f"--output={tmp_path / 'a.png'}"
        cli.main(["zoo", "augment", *flags.split(), *places])

    return augment


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model=mlp --recipe=tutorial_keras", "has no augm.* one: default"),
        ("--model=linear", "default of linear has no augmentation. .* one: none"),
        ("--model=mlp --dataset=linear_regression", "Only images are augmented"),
        ("--model=mlp --recipe=defalt", "Did you mean 'default'"),
        ("--model=mlp", "a.png cannot be written: Is a directory"),
    ],
)
def test_what_cannot_be_drawn_is_explained(flags, message, run, tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match=message):
        run(flags)
    assert list(tmp_path.glob("*")) == [tmp_path / "a.png"]


def test_the_command_writes_it(run, tmp_path, capsys):
    run("--model=linear --augment=erasing=0.5")
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}\n"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_images_have_the_size_that_training_gives_them(run, monkeypatch):
    draw, sizes = augmentations.augmentations, []

    def record(split, *arguments):
        sizes.append(split.x.shape[1:3])
        return draw(split, *arguments)

    monkeypatch.setattr(augmentations, "augmentations", record)
    run("--model=linear --augment=erasing=0.5 --image_size=16x20")
    assert sizes == [(16, 20)]
