"""Each augmentation, eagerly and inside tf.data, beside NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from zoo.data import augment
from zoo.recipe import AUGMENTATIONS

SEED = (3, 7)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 16, 3)).astype("uint8")
SMOOTH = ndimage.gaussian_filter(IMAGES.astype("float32"), (0, 2, 2, 0))
STRENGTHS = {"shift": 0.1, "rotate": 15.0, "scale": 0.2, "shear": 0.2}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_inside_tf_data_it_is_what_it_is_eagerly(name):
    def change(images, step):
        seed = tf.stack([tf.constant(3, tf.int64), step])
        return augment.augment(images, {name: STRENGTHS[name]}, seed)

    eager = change(tf.constant(IMAGES), tf.constant(7, tf.int64))
    data = tf.data.Dataset.range(8).map(lambda step: change(IMAGES, step))
    inside = list(data)[7]
    np.testing.assert_allclose(eager, inside, atol=1e-3)
    assert eager.shape == IMAGES.shape
    assert eager.dtype == tf.float32
    assert np.min(eager) >= 0
    assert np.max(eager) <= 255
    assert not np.allclose(eager, IMAGES)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_without_strength_nothing_changes(name):
    same = augment.augment(IMAGES, {name: 0.0}, SEED)
    np.testing.assert_allclose(same, IMAGES, atol=1e-3)


def test_every_image_of_a_batch_and_every_seed_draws_anew():
    batch = np.repeat(IMAGES[:1], 4, axis=0)
    changed = augment.augment(batch, STRENGTHS, SEED).numpy()
    assert len({image.tobytes() for image in changed}) == 4
    assert not np.allclose(changed, augment.augment(batch, STRENGTHS, (3, 8)))
    assert not np.allclose(changed, augment.augment(batch, STRENGTHS, (4, 7)))
    np.testing.assert_array_equal(changed, augment.augment(batch, STRENGTHS, SEED))


def test_draws_are_within_their_strengths():
    image = np.zeros((4000, 21, 21, 1), "float32")
    image[:, 10, 10] = 255
    moved = augment.augment(image, {"shift": 0.2}, SEED).numpy()[..., 0]
    rows = (moved.sum(axis=2) * np.arange(21)).sum(axis=1) / moved.sum(axis=(1, 2))
    assert np.abs(rows - 10).max() == pytest.approx(0.2 * 21, rel=0.01)
    assert np.abs(rows - 10).max() <= 0.2 * 21 + 1e-3
    assert (rows - 10).mean() == pytest.approx(0, abs=0.1)


def test_affine_is_that_of_scipy():
    draws = tf.random.stateless_uniform((6, len(SMOOTH)), SEED, -1.0, 1.0).numpy()
    ours = augment.affine(SMOOTH, SEED, **STRENGTHS).numpy()
    height, width = SMOOTH.shape[1:3]
    center = np.array([(height - 1) / 2, (width - 1) / 2])
    for i, image in enumerate(SMOOTH):
        down, right, turn, size_x, size_y, slant = draws[:, i]
        angle = np.deg2rad(turn * 15.0)
        rotation = np.array(  # in (row, column)
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        )
        shear = np.array([[1, 0], [slant * 0.2, 1]])
        sizes = np.diag([1.2**-size_y, 1.2**-size_x])
        matrix = rotation @ shear @ sizes
        shifted = center + [down * 0.1 * height, right * 0.1 * width]
        for channel in range(3):
            theirs = ndimage.affine_transform(
                image[..., channel],
                matrix,
                offset=center - matrix @ shifted,
                order=1,
                mode="grid-constant",
            )
            np.testing.assert_allclose(ours[i, ..., channel], theirs, atol=0.1)
