"""Random changes of images: stateless, on whole batches, seeded by (seed, step)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from zoo.data import color
from zoo.data.draws import Draws
from zoo.data.warp import warp

# These are done in one sampling, then those of pixels one by one, in this order.
_SHAPE = ("shift", "rotate", "scale", "shear", "crop", "elastic")
_PIXELS = {
    "flip": color.flip,
    "brightness": color.brightness,
    "contrast": color.contrast,
    "saturation": color.saturation,
    "erasing": color.erasing,
}


def augment(
    images: tf.Tensor, strengths: Mapping[str, float], draws: Draws
) -> tf.Tensor:
    """Changes each image of a batch at random.

    Args:
        images: uint8 or float (batch, height, width, channels), 0..255.
        strengths: by name, see ``zoo.recipe.AUGMENTATIONS``. 0 is for no change.
        draws: for these images.

    Returns:
        float32 images of the same shape, 0..255.
    """
    shape = {name: strengths[name] for name in _SHAPE if strengths.get(name)}
    if shape:
        images = warp(images, draws, **shape)
    images = tf.cast(images, tf.float32)
    # Each has a stream of its own, whichever others there are; warp has 0 and 1.
    for number, (name, change) in enumerate(_PIXELS.items(), start=2):
        if strengths.get(name):
            images = change(images, strengths[name], draws.stream(number))
    return images
