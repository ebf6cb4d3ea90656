"""Tests the picture of the first batch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.data.dataset import Dataset, Split
from zoo.plots.batch import batch
from zoo.recipe import Recipe
from zoo.records.rundir import RunDir
from zoo.runs.run import Run

N, SEED = 50, 7
# The image of example i is i everywhere, and black in its right half.
IMAGES = np.arange(N, dtype=np.uint8)[:, None, None, None] * np.ones(
    (1, 4, 6, 3), np.uint8
)
IMAGES[:, :, 3:] = 0


def finished(num_train=N, **settings):
    """Returns a run of these images whose classes are the names of the examples."""
    labels = np.arange(N, dtype=np.int32)
    split = Split(IMAGES, labels)
    trained = Run(RunDir("nowhere"), dataset=Dataset(None, split, split))
    settings = Recipe(batch_size=20, **settings).to_json()
    del settings["steps_per_execution"]  # config.json leaves it out
    trained.config = {
        "identity": {"seed": SEED, "settings": settings},
        "data": {"class_names": [f"example {i}" for i in labels]},
    }
    trained.result = {"num_train_examples": num_train}
    return trained


def drawn(figure):
    """Returns the examples' numbers, by their names, and the images."""
    numbers = [int(axes.get_title().split()[-1]) for axes in figure.axes[:20]]
    return numbers, np.stack([axes.images[0].get_array() for axes in figure.axes[:20]])


@pytest.mark.parametrize("order", ["file", "shuffled"])
def test_the_images_are_those_of_the_first_step(order):
    numbers, images = drawn(figure := batch(finished(order=order)))
    assert figure.get_suptitle() == (
        "20 of the 20 training images of the first step\nAugmentation: none"
    )
    expected = tf.range(20, dtype=tf.int64)
    if order == "shuffled":
        expected = tf.random.experimental.index_shuffle(
            expected, seed=tf.constant([SEED, 0], tf.int64), max_index=N - 1
        )
    assert numbers == expected.numpy().tolist()
    np.testing.assert_array_equal(images, IMAGES[numbers])


def test_the_images_are_augmented_and_the_title_says_how():
    numbers, images = drawn(figure := batch(finished(augment={"flip": 1.0})))
    np.testing.assert_array_equal(images, IMAGES[numbers][:, :, ::-1])
    assert figure.get_suptitle().endswith("\nAugmentation: flip 1")


def test_there_is_no_picture_without_the_training_images():
    assert batch(finished(num_train=60_000)) is None
