"""Random affine and elastic distortions of whole batches, sampled only once.

Images are uint8 or float (batch, height, width, channels). Pixels outside of an image
count as black.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from zoo.data.draws import Draws

# Sigma of the Gaussian that smooths an elastic field, as a fraction of height and
# width. Simard et al. use 4 of 28 pixels.
ELASTIC_SIGMA = 1 / 7


def warp(
    images: tf.Tensor, draws: Draws, *, elastic: float = 0.0, **affine: float
) -> tf.Tensor:
    """Distorts images around their centers; returns float32 images.

    The strengths are those of ``zoo.recipe.AUGMENTATIONS``. ``elastic`` is the field of
    Simard et al. 2003, "Best Practices for Convolutional Neural Networks Applied to
    Visual Document Analysis". Height, width and channels must be static.
    """
    height, width = images.shape[1:3]
    # Computed for the whole batch, because the last bits depend on the batch size.
    transforms = draws.own(affine_transforms(draws, height, width, **affine))
    field = None
    if elastic:
        pixels = np.array([elastic * width, elastic * height], np.float32)
        unit = draws.own(elastic_field(draws.stream(1), height, width))
        field = unit * pixels[:, None, None]
    return _move(images, transforms, field)


# Compiled by XLA, which passes over the pixels once instead of once per operation.
@tf.function(jit_compile=True, autograph=False)
def _move(
    images: tf.Tensor, transforms: tf.Tensor, field: tf.Tensor | None
) -> tf.Tensor:
    """Samples images at the positions of affine transforms plus a field in pixels."""
    height, width = images.shape[1:3]
    a, b, left, c, d, up = tf.unstack(transforms[:, :, None, None], axis=1)
    column = np.arange(width, dtype=np.float32)
    row = np.arange(height, dtype=np.float32)[:, None]
    x = a * column + (b * row + left)  # (batch, height, width): where each comes from
    y = c * column + (d * row + up)
    if field is not None:
        x, y = x + field[:, 0], y + field[:, 1]
    return sample(images, x, y)


def affine_transforms(
    draws: Draws,
    height: int,
    width: int,
    *,
    shift: float = 0.0,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
) -> tf.Tensor:
    """Draws float32 (batch, 6): a, b, left, c, d, up.

    The pixel (x, y) of the output is the pixel (a x + b y + left, c x + d y + up) of
    the input.
    """
    drawn = tf.random.stateless_uniform((6, draws.batch), draws.seed, -1.0, 1.0)
    # Multiply constants first. The graphs of tf.data do so anyway, and would otherwise
    # round differently from eager code.
    down, right = drawn[0] * (shift * height), drawn[1] * (shift * width)
    angle = drawn[2] * (rotate * math.pi / 180)
    # Factors are drawn evenly on a log scale, so growing is as likely as shrinking.
    size_x = tf.exp(drawn[3] * math.log1p(scale))
    size_y = tf.exp(drawn[4] * math.log1p(scale))
    slant = drawn[5] * shear
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    # From output to input coordinates, (x, y) about the center.
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos / size_x, (slant * cos - sin) / size_y
    c, d = sin / size_x, (slant * sin + cos) / size_y
    from_x, from_y = center_x + right, center_y + down
    x = [a, b, center_x - a * from_x - b * from_y]
    y = [c, d, center_y - c * from_x - d * from_y]
    return tf.stack([*x, *y], axis=1)


def elastic_field(draws: Draws, height: int, width: int) -> tf.Tensor:
    """Draws smooth fields (batch, 2, height, width) with mean 0 and variance 1."""
    noise = tf.random.stateless_normal((draws.batch, 2, height, width), draws.seed)
    return _gaussian(height) @ noise @ _gaussian(width).T


def _gaussian(size: int) -> np.ndarray:
    """Returns the matrix (size, size) that smooths and keeps the variance."""
    place = np.arange(size) / (size * ELASTIC_SIGMA)
    weights = np.exp(-((place[:, None] - place) ** 2) / 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights.astype(np.float32)


def sample(images: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Interpolates images at the positions x, y, in pixels (batch, rows, columns)."""
    height, width, channels = images.shape[1:]
    # Add a black border, so that every position has four neighbors.
    flat = tf.reshape(tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]]), [-1, channels])
    x = tf.clip_by_value(x + 1, 0.0, width + 1.0)
    y = tf.clip_by_value(y + 1, 0.0, height + 1.0)
    left = tf.minimum(tf.cast(x, tf.int32), width)
    top = tf.minimum(tf.cast(y, tf.int32), height)
    first = tf.range(tf.shape(images)[0])[:, None, None] * (height + 2)
    index = (first + top) * (width + 2) + left

    def neighbor(step: int) -> tf.Tensor:
        return tf.cast(tf.gather(flat, index + step), tf.float32)

    right = (x - tf.cast(left, tf.float32))[..., None]
    down = (y - tf.cast(top, tf.float32))[..., None]
    upper = neighbor(0) * (1 - right) + neighbor(1) * right
    lower = neighbor(width + 2) * (1 - right) + neighbor(width + 3) * right
    return upper * (1 - down) + lower * down
