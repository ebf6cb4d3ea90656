"""Random changes of pixels where they are, on whole batches.

Each takes float32 images (batch, height, width, channels), 0..255, a strength of
``zoo.recipe.AUGMENTATIONS``, a seed int (2,) and the rows that the images are of the
batch, and returns images like them.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data import draws
from zoo.data.draws import Rows


def flip(
    images: tf.Tensor, probability: float, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Mirrors images left to right."""
    return tf.where(
        _draw(images, seed, rows, 0.0, 1.0) < probability,
        tf.reverse(images, axis=[2]),
        images,
    )


def brightness(
    images: tf.Tensor, strength: float, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Adds to all pixels of an image, as ``tf.image.adjust_brightness`` does."""
    return _clip(images + 255 * _draw(images, seed, rows, -strength, strength))


def contrast(
    images: tf.Tensor, strength: float, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Scales around the mean of each channel, as ``tf.image.adjust_contrast`` does."""
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    factor = _draw(images, seed, rows, 1 - strength, 1 + strength)
    return _clip((images - mean) * factor + mean)


def saturation(
    images: tf.Tensor, strength: float, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Scales the saturation, as ``tf.image.adjust_saturation`` does.

    Images without three channels have none, and stay as they are.
    """
    if images.shape[-1] != 3:
        return images
    hue, share, value = tf.unstack(tf.image.rgb_to_hsv(images / 255), axis=-1)
    factor = _draw(images, seed, rows, 1 - strength, 1 + strength)[..., 0]
    share = tf.clip_by_value(share * factor, 0.0, 1.0)
    return _clip(255 * tf.image.hsv_to_rgb(tf.stack([hue, share, value], axis=-1)))


def erasing(
    images: tf.Tensor, strength: float, seed: tf.Tensor, rows: Rows | None = None
) -> tf.Tensor:
    """Paints a rectangle black.

    Reference: Zhong et al. 2020, "Random Erasing Data Augmentation" (arXiv:1708.04896).
    """
    height, width = images.shape[1:3]
    drawn = tf.random.stateless_uniform((draws.whole(images, rows), 4, 1), seed)
    tall, high, wide, across = tf.unstack(draws.part(drawn, images, rows), axis=1)

    def within(size: int, share: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        # (batch, size): which rows or columns are in the rectangle.
        length = strength * share
        first = place * (1 - length)
        middle = (np.arange(size, dtype=np.float32) + 0.5) / size
        return (first <= middle) & (middle < first + length)

    rows, columns = within(height, tall, high), within(width, wide, across)
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(inside, 0.0, images)


def _draw(
    images: tf.Tensor, seed: tf.Tensor, rows: Rows | None, low: float, high: float
) -> tf.Tensor:
    """Returns a number for each image, (batch, 1, 1, 1)."""
    shape = (draws.whole(images, rows), 1, 1, 1)
    drawn = tf.random.stateless_uniform(shape, seed, low, high)
    return draws.part(drawn, images, rows)


def _clip(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(images, 0.0, 255.0)
