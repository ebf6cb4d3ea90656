"""Changes of pixels in their place, beside tf.image and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.data import color
from zoo.data.draws import Draws

SEED = (3, 7)
SIZE = 40
DRAWS = Draws(SEED, SIZE)
MANY = Draws(SEED, 4000)
IMAGES = np.random.default_rng(0).uniform(0, 255, (SIZE, 8, 10, 3)).astype("float32")


def drawn(low, high):
    shape = (SIZE, 1, 1, 1)
    return tf.random.stateless_uniform(shape, SEED, low, high).numpy().ravel()


def test_flip_is_that_of_tf_image_with_its_probability():
    mirrored = tf.image.flip_left_right(IMAGES).numpy()
    ours = color.flip(IMAGES, 0.25, DRAWS).numpy()
    flipped = drawn(0.0, 1.0) < 0.25
    for image, original, mirror, is_flipped in zip(
        ours, IMAGES, mirrored, flipped, strict=True
    ):
        np.testing.assert_array_equal(image, mirror if is_flipped else original)
    many = color.flip(np.tile([[[[0.0], [1.0]]]], (4000, 1, 1, 1)), 0.25, MANY)
    assert np.mean(many[:, 0, 0, 0]) == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(color.flip(IMAGES, 1.0, DRAWS), mirrored)


def test_brightness_is_that_of_tf_image():
    ours = color.brightness(IMAGES, 0.4, DRAWS)
    theirs = [
        tf.clip_by_value(tf.image.adjust_brightness(image, 255 * delta), 0, 255)
        for image, delta in zip(IMAGES, drawn(-0.4, 0.4), strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (color.contrast, tf.image.adjust_contrast),
        (color.saturation, tf.image.adjust_saturation),
    ],
)
def test_contrast_and_saturation_are_those_of_tf_image(ours, theirs):
    factors = drawn(0.2, 1.8)
    expected = [
        # Theirs takes colors from 0 to 1.
        255 * tf.clip_by_value(theirs(image / 255, factor), 0, 1)
        for image, factor in zip(IMAGES, factors, strict=True)
    ]
    np.testing.assert_allclose(ours(IMAGES, 0.8, DRAWS), expected, atol=1e-2)


def test_gray_images_have_no_saturation():
    gray = IMAGES[..., :1]
    np.testing.assert_array_equal(color.saturation(gray, 1.0, DRAWS), gray)


def test_erasing_paints_a_rectangle_inside_the_image():
    white = np.full((4000, 20, 30, 2), 255.0, "float32")
    erased = color.erasing(white, 0.5, MANY).numpy() == 0
    np.testing.assert_array_equal(erased[..., 0], erased[..., 1])
    erased = erased[..., 0]
    rows, columns = erased.any(axis=2), erased.any(axis=1)
    np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
    for inside, size in ((rows, 20), (columns, 30)):
        # Without gaps: it begins and ends once.
        assert np.abs(np.diff(inside.astype(int), axis=1)).sum(axis=1).max() <= 2
        assert inside.sum(axis=1).max() == size / 2
        assert inside.mean(axis=0).min() > 0.02  # the border too
    assert erased.mean() == pytest.approx(0.25**2, rel=0.05)
    changed = color.erasing(IMAGES, 0.5, DRAWS).numpy()
    np.testing.assert_array_equal(changed[changed > 0], IMAGES[changed > 0])
