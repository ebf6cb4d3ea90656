"""Random changes of pixels where they are, on whole batches.

Each takes float32 images (batch, height, width, channels), 0..255, a strength of
``zoo.recipe.AUGMENTATIONS`` and draws for these images, and returns images like them.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.data.draws import Draws


def flip(images: tf.Tensor, probability: float, draws: Draws) -> tf.Tensor:
    """Mirrors images left to right."""
    mirrored = tf.reverse(images, axis=[2])
    return tf.where(_per_image(draws, 0.0, 1.0) < probability, mirrored, images)


def brightness(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Adds to all pixels of an image, as ``tf.image.adjust_brightness`` does."""
    return _clip(images + 255 * _per_image(draws, -strength, strength))


def contrast(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Scales around the mean of each channel, as ``tf.image.adjust_contrast`` does."""
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    factor = _per_image(draws, 1 - strength, 1 + strength)
    return _clip((images - mean) * factor + mean)


def saturation(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Scales the saturation, as ``tf.image.adjust_saturation`` does.

    Images without three channels have none, and stay as they are.
    """
    if images.shape[-1] != 3:
        return images
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(images / 255), axis=-1)
    factor = _per_image(draws, 1 - strength, 1 + strength)[..., 0]
    saturation = tf.clip_by_value(saturation * factor, 0.0, 1.0)
    changed = tf.stack([hue, saturation, value], axis=-1)
    return _clip(255 * tf.image.hsv_to_rgb(changed))


def erasing(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Paints a rectangle black.

    Reference: Zhong et al. 2020, "Random Erasing Data Augmentation" (arXiv:1708.04896).
    """
    height, width = images.shape[1:3]
    drawn = draws.own(draws.uniform((draws.whole, 4, 1)))
    tall, high, wide, across = tf.unstack(drawn, axis=1)

    def within(size: int, fraction: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        # (batch, size): which rows or columns are in the rectangle.
        length = strength * fraction
        first = place * (1 - length)
        middle = (np.arange(size, dtype=np.float32) + 0.5) / size
        return (first <= middle) & (middle < first + length)

    rows, columns = within(height, tall, high), within(width, wide, across)
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(inside, 0.0, images)


def _per_image(draws: Draws, low: float, high: float) -> tf.Tensor:
    """Returns a number for each image, (batch, 1, 1, 1)."""
    return draws.own(draws.uniform((draws.whole, 1, 1, 1), low, high))


def _clip(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(images, 0.0, 255.0)
