"""Random changes of images: stateless, on whole batches, seeded by (seed, step).

Every operation takes uint8 or float images (batch, height, width, channels),
0..255, and returns float32 images of the same shape, 0..255.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

# The first row, and the size of the whole batch.
Rows = tuple[tf.Tensor | int, tf.Tensor | int]


def augment(
    images: tf.Tensor,
    strengths: Mapping[str, float],
    seed: tf.Tensor,
    rows: Rows | None = None,
) -> tf.Tensor:
    """Changes each image of a batch at random.

    Args:
        images: (batch, height, width, channels), 0..255.
        strengths: by name, see ``zoo.recipe.AUGMENTATIONS``.
        seed: int (2,), as (seed of the run, step).
        rows: where ``images`` lie in the batch that is drawn for; None for all of it.

    Returns:
        float32 images of the same shape, 0..255.
    """
    return affine(images, seed, rows, **strengths)


def affine(
    images: tf.Tensor,
    seed: tf.Tensor,
    rows: Rows | None = None,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
) -> tf.Tensor:
    """Shifts, rotates, scales and shears around the center, bilinearly, onto black.

    The strengths are those of ``zoo.recipe.AUGMENTATIONS``; each image draws from -1
    to 1 times them.
    """
    images = tf.cast(images, tf.float32)
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    # For the whole batch, so that not one bit depends on who makes which images.
    first, whole = rows or (0, batch)
    draws = tf.random.stateless_uniform((6, whole), seed, -1.0, 1.0)
    high, wide = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    down, right = draws[0] * shift * high, draws[1] * shift * wide
    angle = draws[2] * (rotate * math.pi / 180)
    # Sizes are drawn evenly on a log scale: half as likely larger as smaller.
    size_x = tf.exp(draws[3] * math.log1p(scale))
    size_y = tf.exp(draws[4] * math.log1p(scale))
    slant = draws[5] * shear
    # From output to input coordinates, (x, y) about the center.
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos / size_x, (slant * cos - sin) / size_y
    c, d = sin / size_x, (slant * sin + cos) / size_y
    center_x, center_y = (wide - 1) / 2, (high - 1) / 2
    from_x, from_y = center_x + right, center_y + down
    zero = tf.zeros_like(a)
    transforms = tf.stack(
        [
            *(a, b, center_x - a * from_x - b * from_y),
            *(c, d, center_y - c * from_x - d * from_y),
            *(zero, zero),
        ],
        axis=1,
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms[first : first + batch],
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
