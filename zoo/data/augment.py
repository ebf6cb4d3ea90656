"""Random changes of images: stateless, on whole batches, seeded by (seed, step).

Each change of pixels takes float32 images (batch, height, width, channels), 0..255, a
strength as in ``zoo.recipe.AUGMENTATIONS`` and draws for these images. It returns
images of the same shape, type and range.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from zoo.data.draws import Draws
from zoo.data.warp import warp


def augment(
    images: tf.Tensor, strengths: Mapping[str, float], draws: Draws
) -> tf.Tensor:
    """Changes each image of a batch at random.

    Args:
        images: uint8 or float (batch, height, width, channels), 0..255.
        strengths: strength of each change by its name, see
            ``zoo.recipe.AUGMENTATIONS``. 0 means no change.
        draws: random numbers for these images.

    Returns:
        float32 images of the same shape, 0..255.
    """
    shape = {name: s for name, s in strengths.items() if s and name not in _PIXELS}
    if shape:
        images = warp(images, draws, **shape)
    images = tf.cast(images, tf.float32)
    for name, (number, change) in _PIXELS.items():
        if strengths.get(name):
            images = change(images, strengths[name], draws.stream(number))
    return images


def flip(images: tf.Tensor, probability: float, draws: Draws) -> tf.Tensor:
    """Mirrors images left to right."""
    height, width = images.shape[1:3]
    place = tf.range(width)
    mirrored = draws.uniform(1) < probability
    return _take(images, tf.range(height)[None], tf.where(mirrored, place[::-1], place))


def pad_crop(images: tf.Tensor, border: float, draws: Draws) -> tf.Tensor:
    """Mirrors a border around each image, and crops it at a random place."""
    height, width = images.shape[1:3]
    border = min(int(border), height - 1, width - 1)
    corner = tf.cast(draws.uniform(2, 1, high=2.0 * border + 1), tf.int32) - border

    def mirrored(place: tf.Tensor, size: int) -> tf.Tensor:
        return (size - 1) - tf.abs((size - 1) - tf.abs(place))

    rows = mirrored(corner[:, 0] + tf.range(height), height)
    columns = mirrored(corner[:, 1] + tf.range(width), width)
    return _take(images, rows, columns)


# Compiled by XLA, which gathers single pixels much faster than TensorFlow does.
@tf.function(jit_compile=True, autograph=False)
def _take(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns the pixels in the given rows and columns of each image.

    Args:
        images: (batch, height, width, channels).
        rows: int32 (batch or 1, height).
        columns: int32 (batch or 1, width).
    """
    image = tf.range(tf.shape(images)[0])[:, None, None]
    height, width, channels = images.shape[1:]
    pixels = tf.reshape(images, [-1, channels])
    index = (image * height + rows[:, :, None]) * width + columns[:, None, :]
    return tf.gather(pixels, index)


def erasing(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Paints a rectangle black.

    Reference: Zhong et al. 2020, "Random Erasing Data Augmentation" (arXiv:1708.04896).
    """
    height, width = images.shape[1:3]
    tall, high, wide, across = tf.unstack(draws.uniform(4, 1), axis=1)

    def within(size: int, fraction: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        # Returns (batch, size): whether a row or column is in the rectangle.
        length = strength * fraction
        first = place * (1 - length)
        middle = (np.arange(size, dtype=np.float32) + 0.5) / size
        return (first <= middle) & (middle < first + length)

    return _blacken(images, within(height, tall, high), within(width, wide, across))


@tf.function(jit_compile=True, autograph=False)
def _blacken(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Paints the pixels of some rows (batch, height) and columns (batch, width)."""
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(inside, tf.zeros([], images.dtype), images)


# The changes of pixels in their order; all changes of shape come before them. The
# number of a change is its stream of draws, so its draws do not depend on the other
# changes. warp uses the plain seed and stream 1.
_PIXELS = {
    "pad_crop": (7, pad_crop),
    "flip": (2, flip),
    "erasing": (6, erasing),
}
