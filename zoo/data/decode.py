"""Image files to pixels, in TensorFlow operations only.

The same functions run in tf.data, in a SavedModel (inside ``tf.map_fn``) and in
``predict``, so a picture becomes the same pixels everywhere. A BMP with a palette is
refused where files are read; in a SavedModel TensorFlow takes it for gray.
"""

from __future__ import annotations

import os
import pathlib

import tensorflow as tf

from zoo.errors import UserError


def decode(image_bytes: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Decodes one PNG, JPEG, BMP or GIF and brings it to a fixed shape.

    Transparency is dropped, of an animation the first frame is taken, and of
    16 bits per channel the upper 8 are kept.

    Args:
        image_bytes: scalar string, the content of an image file.
        height: height of the result in pixels.
        width: width of the result in pixels.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        uint8 (height, width, channels), 0..255.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not such an image.
    """
    # channels=0 keeps what the file has: the decoders of BMP and GIF refuse others.
    raw = tf.io.decode_image(
        image_bytes, channels=0, dtype=tf.uint8, expand_animations=False
    )
    raw = tf.ensure_shape(raw, (None, None, None))
    return resize(to_channels(raw, channels), height, width)


def to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts uint8 (height, width, 1 to 4) to gray (1 channel) or RGB (3).

    Gray is the luma of ITU-R BT.601, as in Pillow; equal red, green and blue give
    exactly that value. A second or fourth channel is alpha and is dropped.
    """
    colored = tf.shape(image)[-1] >= 3
    if channels == 3:
        result = tf.cond(
            colored,
            lambda: image[..., :3],
            lambda: tf.repeat(image[..., :1], 3, axis=-1),
        )
    else:
        result = tf.cond(colored, lambda: _luma(image), lambda: image[..., :1])
    return tf.ensure_shape(result, (None, None, channels))


def resize(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes uint8 (h, w, c) to (height, width, c): bilinear, antialiased, rounded.

    An image that already has the size is returned untouched.
    """

    def changed() -> tf.Tensor:
        pixels = tf.image.resize(image, (height, width), antialias=True)
        return tf.saturate_cast(tf.round(pixels), tf.uint8)

    shape = tf.shape(image)
    same = tf.logical_and(shape[0] == height, shape[1] == width)
    result = tf.cond(same, lambda: image, changed)
    return tf.ensure_shape(result, (height, width, image.shape[-1]))


def _luma(image: tf.Tensor) -> tf.Tensor:
    weights = tf.constant([0.299, 0.587, 0.114])
    luma = tf.reduce_sum(
        tf.cast(image[..., :3], tf.float32) * weights, axis=-1, keepdims=True
    )
    return tf.saturate_cast(tf.round(luma), tf.uint8)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads an image file that TensorFlow would not misread.

    Raises:
        UserError: a BMP with a palette of colors.
        OSError: the file cannot be read.
    """
    data = pathlib.Path(path).read_bytes()
    # TensorFlow 2.21 takes the palette's indices for gray values and says nothing.
    if data[:2] == b"BM" and len(data) > 54 and data[28] == 8 and _has_colors(data):
        raise UserError(f"{path} is a BMP with a palette: save it as PNG.")
    return data


def _has_colors(bmp: bytes) -> bool:
    """Whether an 8-bit BMP's palette is anything but the gray values in order."""
    start = 14 + int.from_bytes(bmp[14:18], "little")
    count = int.from_bytes(bmp[46:50], "little") or 256
    palette = bmp[start : start + 4 * count]
    return any(
        palette[4 * i : 4 * i + 3] != bytes([i % 256] * 3)
        for i in range(len(palette) // 4)
    )
