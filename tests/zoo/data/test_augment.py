"""Tests all augmentations, eagerly and inside tf.data."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.data import augment
from zoo.data.draws import Draws
from zoo.recipe import AUGMENTATIONS

SEED = (3, 7)
RNG = np.random.default_rng(0)
IMAGES = {c: RNG.integers(0, 256, (6, 12, 16, c)).astype("uint8") for c in (1, 3)}
STRENGTHS = {
    "shift": 0.1,
    "rotate": 15.0,
    "scale": 0.2,
    "shear": 0.2,
    "elastic": 0.05,
    "flip": 0.5,
    "pad_crop": 3.0,
    "erasing": 0.6,
}


COLORS = RNG.uniform(0, 255, (40, 8, 10, 3)).astype("float32")
COLOR_DRAWS, MANY = Draws(SEED, 40), Draws(SEED, 4000)
PARTS = [*AUGMENTATIONS, "all"]


def chosen(name):
    return STRENGTHS if name == "all" else {name: STRENGTHS[name]}


def augmented(images, strengths, seed=SEED):
    return augment.augment(images, strengths, Draws(seed, len(images))).numpy()


@pytest.mark.parametrize("channels", IMAGES)
@pytest.mark.parametrize("name", PARTS)
def test_inside_tf_data_it_is_what_it_is_eagerly(name, channels):
    images = IMAGES[channels]

    def change(step):
        seed = tf.stack([tf.constant(3, tf.int64), step])
        return augment.augment(images, chosen(name), Draws(seed, tf.shape(images)[0]))

    eager = change(tf.constant(7, tf.int64))
    inside = list(tf.data.Dataset.range(8).map(change))[7]
    np.testing.assert_array_equal(eager, inside)
    assert eager.shape == images.shape
    assert eager.dtype == tf.float32
    assert np.min(eager) >= 0
    assert np.max(eager) <= 255
    assert not np.allclose(eager, images)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_batch_gets_what_it_gets_in_the_whole(name):
    whole = augmented(IMAGES[3], chosen(name))
    for first, last in ((0, 2), (2, 3), (3, 6)):
        draws = Draws(SEED, 6, first, last - first)
        part = augment.augment(IMAGES[3][first:last], chosen(name), draws)
        np.testing.assert_array_equal(part, whole[first:last])


def test_without_strength_nothing_changes():
    same = augmented(IMAGES[3], dict.fromkeys(AUGMENTATIONS, 0.0))
    np.testing.assert_array_equal(same, IMAGES[3])


def test_every_image_of_a_batch_and_every_seed_has_other_draws():
    batch = np.repeat(IMAGES[3][:1], 4, axis=0)
    for name, strength in STRENGTHS.items():
        changed, step, seed, again = (
            augmented(batch, {name: strength}, seed=drawn)
            for drawn in (SEED, (3, 8), (4, 7), SEED)
        )
        assert len({image.tobytes() for image in changed}) == (
            2 if name == "flip" else 4
        )
        assert not np.allclose(changed, step), name
        assert not np.allclose(changed, seed), name
        np.testing.assert_array_equal(changed, again)


def test_what_is_applied_does_not_depend_on_the_order_in_the_recipe():
    a = augmented(IMAGES[3], STRENGTHS)
    b = augmented(IMAGES[3], dict(reversed(STRENGTHS.items())))
    np.testing.assert_array_equal(a, b)


def drawn(low, high):
    shape = (40, 1, 1, 1)
    return tf.random.stateless_uniform(shape, SEED, low, high).numpy().ravel()


def test_pad_crop_takes_every_place_of_the_mirrored_border():
    places = np.stack(np.meshgrid(*[np.arange(9.0)] * 2, indexing="ij"), axis=-1)[None]
    many = np.tile(places, (4000, 1, 1, 1)).astype("float32")
    cropped = augment.pad_crop(many, 2.0, MANY).numpy()
    padded = np.pad(places[0], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    allowed = {
        padded[i : i + 9, j : j + 9].tobytes(): (i, j)
        for i in range(5)
        for j in range(5)
    }
    found = [allowed[image.astype("float64").tobytes()] for image in cropped]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 25
    assert counts.min() > 100  # about 160 of each are expected
    # The border is wider than a small image.
    assert augment.pad_crop(many[:, :3], 64.0, MANY).shape == (4000, 3, 9, 2)


def test_flip_is_that_of_tf_image_with_its_probability():
    mirrored = tf.image.flip_left_right(COLORS).numpy()
    ours = augment.flip(COLORS, 0.25, COLOR_DRAWS).numpy()
    flipped = drawn(0.0, 1.0) < 0.25
    for image, original, mirror, is_flipped in zip(
        ours, COLORS, mirrored, flipped, strict=True
    ):
        np.testing.assert_array_equal(image, mirror if is_flipped else original)
    many = augment.flip(np.tile([[[[0.0], [1.0]]]], (4000, 1, 1, 1)), 0.25, MANY)
    assert np.mean(many[:, 0, 0, 0]) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(augment.flip(COLORS, 1.0, COLOR_DRAWS), mirrored)


def test_erasing_paints_a_rectangle_inside_the_image():
    white = np.full((4000, 20, 30, 2), 255.0, "float32")
    erased = augment.erasing(white, 0.5, MANY).numpy() == 0
    np.testing.assert_array_equal(erased[..., 0], erased[..., 1])
    erased = erased[..., 0]
    rows, columns = erased.any(axis=2), erased.any(axis=1)
    np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
    for inside, size in ((rows, 20), (columns, 30)):
        # The rectangle has no gaps: it begins and ends once.
        assert np.abs(np.diff(inside.astype(int), axis=1)).sum(axis=1).max() <= 2
        assert inside.sum(axis=1).max() == size / 2
        assert inside.mean(axis=0).min() > 0.02  # at the border too
    assert erased.mean() == pytest.approx(0.25**2, rel=0.05)
    changed = augment.erasing(COLORS, 0.5, COLOR_DRAWS).numpy()
    np.testing.assert_array_equal(changed[changed > 0], COLORS[changed > 0])
