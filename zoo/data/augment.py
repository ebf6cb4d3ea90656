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
    mirrored = tf.reverse(images, axis=[2])
    return tf.where(draws.uniform(1, 1, 1) < probability, mirrored, images)


def pad_crop(images: tf.Tensor, border: float, draws: Draws) -> tf.Tensor:
    """Mirrors a border around each image, and crops it at a random place."""
    height, width = images.shape[1:3]
    border = min(int(border), height - 1, width - 1)
    around = [[0, 0], [border, border], [border, border], [0, 0]]
    images = tf.pad(images, around, mode="REFLECT")
    corner = tf.cast(draws.uniform(2, 1, high=2.0 * border + 1), tf.int32)
    rows, columns = corner[:, 0] + tf.range(height), corner[:, 1] + tf.range(width)
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.gather(images, columns, axis=2, batch_dims=1)


def brightness(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Adds a number to all pixels, as ``tf.image.adjust_brightness`` does."""
    change = draws.uniform(1, 1, 1, low=-strength, high=strength)
    return tf.clip_by_value(images + 255 * change, 0.0, 255.0)


def contrast(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Scales the contrast of each channel, as ``tf.image.adjust_contrast`` does."""
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    factor = draws.uniform(1, 1, 1, low=1 - strength, high=1 + strength)
    return tf.clip_by_value((images - mean) * factor + mean, 0.0, 255.0)


def saturation(images: tf.Tensor, strength: float, draws: Draws) -> tf.Tensor:
    """Scales the saturation, as ``tf.image.adjust_saturation`` does.

    Images without three channels have no saturation and stay as they are.
    """
    if images.shape[-1] != 3:
        return images
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(images / 255), axis=-1)
    factor = draws.uniform(1, 1, low=1 - strength, high=1 + strength)
    saturation = tf.clip_by_value(saturation * factor, 0.0, 1.0)
    changed = tf.stack([hue, saturation, value], axis=-1)
    return tf.clip_by_value(255 * tf.image.hsv_to_rgb(changed), 0.0, 255.0)


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

    rows, columns = within(height, tall, high), within(width, wide, across)
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return tf.where(inside, 0.0, images)


# The changes of pixels in their order; all changes of shape come before them. The
# number of a change is its stream of draws, so its draws do not depend on the other
# changes. warp uses the plain seed and stream 1.
_PIXELS = {
    "pad_crop": (7, pad_crop),
    "flip": (2, flip),
    "brightness": (3, brightness),
    "contrast": (4, contrast),
    "saturation": (5, saturation),
    "erasing": (6, erasing),
}
