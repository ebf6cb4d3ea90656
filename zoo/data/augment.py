"""Random changes of images: stateless, on whole batches, seeded by (seed, step)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from zoo.data import color
from zoo.data.draws import Rows
from zoo.data.warp import warp

# In one sampling; what follows is done one after the other, in this order.
_SHAPE = ("shift", "rotate", "scale", "shear", "crop", "elastic")
_PIXELS = {
    "flip": color.flip,
    "brightness": color.brightness,
    "contrast": color.contrast,
    "saturation": color.saturation,
    "erasing": color.erasing,
}


def augment(
    images: tf.Tensor,
    strengths: Mapping[str, float],
    seed: tf.Tensor,
    rows: Rows | None = None,
) -> tf.Tensor:
    """Changes each image of a batch at random.

    Args:
        images: uint8 or float (batch, height, width, channels), 0..255.
        strengths: by name, see ``zoo.recipe.AUGMENTATIONS``. 0 is for no change.
        seed: int (2,), as (seed of the run, step).
        rows: where ``images`` lie in the batch that is drawn for; None for all of it.

    Returns:
        float32 images of the same shape, 0..255.
    """
    shape = {name: strengths[name] for name in _SHAPE if strengths.get(name)}
    if shape:
        images = warp(images, seed, rows, **shape)
    images = tf.cast(images, tf.float32)
    # Each draws from a stream of its own, whichever others are there.
    for stream, (name, change) in enumerate(_PIXELS.items(), start=2):
        if strengths.get(name):
            own = tf.random.fold_in(seed, stream)
            images = change(images, strengths[name], own, rows)
    return images
