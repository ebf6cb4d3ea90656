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
    if channels == 1:
        result = tf.cond(colored, lambda: _luma(image), lambda: image[..., :1])
    else:
        gray = image[..., :1]
        result = tf.cond(
            colored, lambda: image[..., :3], lambda: tf.repeat(gray, 3, axis=-1)
        )
    return tf.ensure_shape(result, (None, None, channels))


def resize(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes uint8 (..., h, w, c) images: bilinear, antialiased, rounded.

    Images that already have the size are returned untouched.
    """

    def changed() -> tf.Tensor:
        pixels = tf.image.resize(images, (height, width), antialias=True)
        return tf.saturate_cast(tf.round(pixels), tf.uint8)

    shape = tf.shape(images)
    same = tf.logical_and(shape[-3] == height, shape[-2] == width)
    result = tf.cond(same, lambda: images, changed)
    return tf.ensure_shape(
        result, (*images.shape[:-3], height, width, images.shape[-1])
    )


def _luma(image: tf.Tensor) -> tf.Tensor:
    weights = tf.constant([0.299, 0.587, 0.114])
    luma = tf.reduce_sum(
        tf.cast(image[..., :3], tf.float32) * weights, axis=-1, keepdims=True
    )
    return tf.saturate_cast(tf.round(luma), tf.uint8)


def read_file(path: tf.Tensor) -> tf.Tensor:
    """Reads an image file in a graph; empty for what ``read_bytes`` would refuse."""
    data = tf.io.read_file(path)

    def checked() -> tf.Tensor:
        keep = tf.numpy_function(
            lambda content: not _has_palette(content), [data], tf.bool, stateful=False
        )
        return tf.where(keep, data, "")

    is_bmp = tf.strings.substr(data, 0, 2) == "BM"
    return tf.ensure_shape(tf.cond(is_bmp, checked, lambda: data), ())


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Reads an image file that TensorFlow would not misread.

    Raises:
        UserError: a BMP with a palette of colors.
        OSError: the file cannot be read.
    """
    data = pathlib.Path(path).read_bytes()
    if _has_palette(data):
        raise UserError(f"{path} is a BMP with a palette: save it as PNG.")
    return data


def _has_palette(data: bytes) -> bool:
    """Whether this is an 8-bit BMP whose palette is not the gray values in order.

    TensorFlow 2.21 takes a palette's indices for gray values and says nothing.
    """
    if data[:2] != b"BM" or len(data) <= 54 or data[28] != 8:
        return False
    start = 14 + int.from_bytes(data[14:18], "little")
    count = int.from_bytes(data[46:50], "little") or 256
    palette = data[start : start + 4 * count]
    return any(
        palette[4 * i : 4 * i + 3] != bytes([i % 256] * 3)
        for i in range(len(palette) // 4)
    )
