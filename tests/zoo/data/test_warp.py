"""Compares affine and elastic changes with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from zoo.data.draws import Draws
from zoo.data.warp import elastic_field, sample, warp

SEED = (3, 7)
NOISE = np.random.default_rng(0).uniform(0, 255, (6, 12, 16, 3))
SMOOTH = ndimage.gaussian_filter(NOISE, (0, 2, 2, 0)).astype("float32")
DRAWS = Draws(SEED, len(SMOOTH))
AFFINE = {"shift": 0.1, "rotate": 15.0, "scale": 0.2, "shear": 0.2}


def drawn():
    return tf.random.stateless_uniform((6, len(SMOOTH)), SEED, -1.0, 1.0).numpy()


@pytest.mark.parametrize("elastic", [0.0, 1e-9])  # without a field and with one
def test_affine_is_that_of_scipy(elastic):
    ours = warp(SMOOTH, DRAWS, **AFFINE, elastic=elastic).numpy()
    height, width = SMOOTH.shape[1:3]
    center = np.array([(height - 1) / 2, (width - 1) / 2])
    for i, image in enumerate(SMOOTH):
        down, right, turn, size_x, size_y, slant = drawn()[:, i]
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


def test_draws_are_within_their_strengths():
    image = np.zeros((4000, 21, 21, 1), "float32")
    image[:, 10, 10] = 255
    moved = warp(image, Draws(SEED, 4000), shift=0.2).numpy()[..., 0]
    rows = (moved.sum(axis=2) * np.arange(21)).sum(axis=1) / moved.sum(axis=(1, 2))
    assert np.abs(rows - 10).max() == pytest.approx(0.2 * 21, rel=0.01)
    assert np.abs(rows - 10).max() <= 0.2 * 21 + 1e-3
    assert (rows - 10).mean() == pytest.approx(0, abs=0.1)


def test_an_elastic_change_is_a_displacement_of_scipy():
    ours = warp(SMOOTH, DRAWS, elastic=0.1).numpy()
    high, wide = SMOOTH.shape[1:3]
    field = elastic_field(DRAWS.stream(1), high, wide).numpy()
    rows, columns = np.mgrid[:high, :wide]
    for i, image in enumerate(SMOOTH):
        places = [rows + 0.1 * high * field[i, 1], columns + 0.1 * wide * field[i, 0]]
        for channel in range(3):
            theirs = ndimage.map_coordinates(
                image[..., channel], places, order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(ours[i, ..., channel], theirs, atol=0.01)


def test_the_elastic_field_is_noise_that_scipy_smooths():
    high, wide = 28, 21
    ours = elastic_field(Draws(SEED, 2), high, wide).numpy()
    noise = tf.random.stateless_normal((2, 2, high, wide), SEED).numpy()
    sigma = (0, 0, high / 7, wide / 7)
    theirs = ndimage.gaussian_filter(noise, sigma, mode="constant", truncate=9.0)
    # The variance of what SciPy makes, from its answers to single impulses.
    variances = [
        np.sum(
            ndimage.gaussian_filter1d(
                np.eye(size), size / 7, axis=0, mode="constant", truncate=9.0
            )
            ** 2,
            axis=1,
        )
        for size in (high, wide)
    ]
    theirs /= np.sqrt(np.outer(*variances))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_between_pixels_it_is_linear_and_outside_it_is_black():
    images = np.array([[[[10], [20]], [[30], [50]]]], "uint8")
    places = [(0, 0, 10), (1, 1, 50), (0.5, 0, 15), (0.5, 0.5, 27.5), (-0.5, 0, 5)]
    places += [(-1, 0, 0), (-7, 1, 0), (2, 1, 0), (99, 99, 0), (1, 1.75, 12.5)]
    x, y, expected = np.array(places, "float32").T
    found = sample(images, x[None, None], y[None, None])
    np.testing.assert_allclose(found[0, 0, :, 0], expected)
