"""Decodes image files to pixels, with TensorFlow operations only.

The same functions run in tf.data, in a SavedModel (inside ``tf.map_fn``) and in
``predict``, so a picture becomes the same pixels everywhere. It is turned upright, made
gray or RGB, and resized to the model's height and width.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from zoo.data.source import UNRECORDED_RESIZE
from zoo.errors import UserError

# Number of bytes of a JPEG that are searched for EXIF data, which come first.
_HEAD = 2**16
# Matches the number after the tag 0x0112, the type (short) and the count (1), in EXIF
# data of either byte order. \C is any byte.
_ORIENTATION = (
    r"\C*?Exif\x00\x00"
    r"(?:II\C*?\x12\x01\x03\x00\x01\x00\x00\x00"
    r"|MM\C*?\x01\x12\x00\x03\x00\x00\x00\x01\x00)"
    r"([\x01-\x08])\C*"
)


def decode(
    image_bytes: tf.Tensor,
    height: int,
    width: int,
    channels: int,
    how: str = UNRECORDED_RESIZE,
) -> tf.Tensor:
    """Decodes the content of an image file to uint8 (height, width, channels), 0..255.

    It drops transparency, takes the first frame of an animated GIF, and keeps the upper
    8 of 16 bits per channel. ``channels`` is 1 (gray) or 3 (RGB); ``how`` is that of
    ``resize``.
    """
    image = to_channels(decode_upright(image_bytes), channels)
    return resize(image, height, width, how)


def decode_upright(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes one image to uint8 (height, width, 1 to 4) and turns it upright."""

    def jpeg() -> tf.Tensor:
        head = tf.strings.substr(image_bytes, 0, _HEAD)
        number = tf.strings.regex_replace(head, _ORIENTATION, r"\1")
        return _upright(_decode(image_bytes), number)

    def checked() -> tf.Tensor:
        is_refused = tf.cond(
            start == "BM",
            lambda: _has_palette(image_bytes),
            lambda: _is_animated(image_bytes),
        )
        return _decode(tf.where(is_refused, "", image_bytes))

    start = tf.strings.substr(image_bytes, 0, 2)
    # The other formats share one branch, because small images need few operations.
    image = tf.cond(
        (start == b"\xff\xd8") | (start == "BM") | (start == "RI"),
        lambda: tf.cond(start == b"\xff\xd8", jpeg, checked),
        lambda: _decode(image_bytes),
    )
    return tf.ensure_shape(image, (None, None, None))


def _decode(image_bytes: tf.Tensor) -> tf.Tensor:
    # channels=0 keeps the file's channels; the BMP and GIF decoders refuse others.
    return tf.io.decode_image(
        image_bytes, channels=0, dtype=tf.uint8, expand_animations=False
    )


def _is_animated(riff: tf.Tensor) -> tf.Tensor:
    """Returns whether a RIFF file is an animated WebP, which aborts TensorFlow 2.21."""
    head = tf.io.decode_raw(riff, tf.uint8, fixed_length=21)
    is_extended = tf.reduce_all(head[8:16] == list(b"WEBPVP8X"))
    return is_extended & (tf.bitwise.bitwise_and(head[20], 2) > 0)


def _has_palette(bmp: tf.Tensor) -> tf.Tensor:
    """Returns whether an 8-bit BMP has a palette other than the 256 grays in order.

    TensorFlow 2.21 takes the indices into a palette for gray values, without an error.
    """
    head = tf.io.decode_raw(bmp, tf.uint8, fixed_length=2048)
    start = 14 + tf.cast(head[14], tf.int32)
    palette = tf.reshape(head[start : start + 4 * 256], (256, 4))
    grays = tf.cast(tf.range(256), tf.uint8)[:, tf.newaxis]
    return (head[28] == 8) & tf.reduce_any(palette[:, :3] != grays)


def _upright(image: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors an image; ``number`` is the byte of an EXIF orientation."""

    def is_one_of(numbers: str) -> tf.Tensor:
        return tf.reduce_any(number == list(numbers))

    # Avoids tf.transpose: TensorFlow 2.21 prints an error about AVX-512 for uint8.
    def changed() -> tf.Tensor:
        height, width, channels = tf.unstack(tf.shape(image))
        down = tf.where(is_one_of("\x03\x04\x06\x07"), -1, 1)
        right = tf.where(is_one_of("\x02\x03\x07\x08"), -1, 1)
        rows, columns = tf.range(height)[::down] * width, tf.range(width)[::right]
        places = tf.cond(
            is_one_of("\x05\x06\x07\x08"),
            lambda: rows + columns[:, tf.newaxis],
            lambda: rows[:, tf.newaxis] + columns,
        )
        return tf.gather(tf.reshape(image, (-1, channels)), places)

    return tf.cond(is_one_of("\x02\x03\x04\x05\x06\x07\x08"), changed, lambda: image)


def to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts uint8 (height, width, 1 to 4) to gray (1 channel) or RGB (3).

    Gray is the luma of ITU-R BT.601, as in Pillow; equal red, green and blue give
    exactly that value. A second or fourth channel is alpha and is dropped.
    """
    colored = tf.shape(image)[-1] >= 3
    if channels == 1:
        result = tf.cond(colored, lambda: _luma(image), lambda: image[..., :1])
    else:
        result = tf.cond(
            colored,
            lambda: image[..., :3],
            lambda: tf.repeat(image[..., :1], 3, axis=-1),
        )
    return tf.ensure_shape(result, (None, None, channels))


def resize(
    images: tf.Tensor, height: int, width: int, how: str = UNRECORDED_RESIZE
) -> tf.Tensor:
    """Resizes uint8 (..., h, w, c) images: bilinear, antialiased, rounded.

    Images that already have the size are returned untouched.

    Args:
        images: one image or a batch.
        height: the new height.
        width: the new width.
        how: ``stretch`` changes the shape of what is in the image. ``crop`` keeps the
            largest centered region with the shape of height x width. ``pad`` scales the
            whole image into the middle of height x width, and the rest is black. Sides
            are rounded to whole pixels, halves up; an odd margin is smaller at the top
            and at the left.
    """

    def stretched(part: tf.Tensor, size: Any) -> tf.Tensor:
        pixels = tf.image.resize(part, size, antialias=True)
        return tf.saturate_cast(tf.round(pixels), tf.uint8)

    def changed() -> tf.Tensor:
        target, own = (height, width), tf.unstack(tf.shape(images)[-3:-1])
        if how == "crop":
            rows, columns = _largest(own, target)
            top, left = (own[0] - rows) // 2, (own[1] - columns) // 2
            part = images[..., top : top + rows, left : left + columns, :]
            return stretched(part, target)
        if how == "pad":
            rows, columns = _largest(target, own)
            top, left = (height - rows) // 2, (width - columns) // 2
            small = stretched(images, (rows, columns))
            return tf.image.pad_to_bounding_box(small, top, left, height, width)
        return stretched(images, target)

    shape = tf.shape(images)
    same = tf.logical_and(shape[-3] == height, shape[-2] == width)
    result = tf.cond(same, lambda: images, changed)
    return tf.ensure_shape(
        result, (*images.shape[:-3], height, width, images.shape[-1])
    )


def _largest(within: Sequence[Any], like: Sequence[Any]) -> list[tf.Tensor]:
    """Returns the largest size in ``within`` that has the aspect ratio of ``like``."""
    (height, width), (rows, columns) = (
        [tf.cast(side, tf.int64) for side in size] for size in (within, like)
    )
    sides = (
        tf.minimum(height, (2 * width * rows + columns) // (2 * columns)),
        tf.minimum(width, (2 * height * columns + rows) // (2 * rows)),
    )
    return [tf.cast(tf.maximum(side, 1), tf.int32) for side in sides]


def _luma(image: tf.Tensor) -> tf.Tensor:
    weights = tf.constant([0.299, 0.587, 0.114])
    luma = tf.reduce_sum(
        tf.cast(image[..., :3], tf.float32) * weights, axis=-1, keepdims=True
    )
    return tf.saturate_cast(tf.round(luma), tf.uint8)


def read_image(path: str | os.PathLike[str]) -> tf.Tensor:
    """Decodes a file to uint8 (height, width, 1 to 4), as training does.

    The message of a UserError continues a sentence that begins with the path, such as
    "is empty".
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from None
    try:
        return decode_upright(tf.constant(data))
    except tf.errors.OpError:
        raise UserError(_reason(data)) from None


def _reason(data: bytes) -> str:
    """Returns the reason why the content of a file does not decode."""
    if not data:
        return "is empty"
    if data[:4] == b"RIFF" and _is_animated(tf.constant(data)):
        return "is an animated WebP: save one of its frames"
    if data[:2] == b"BM" and _has_palette(tf.constant(data)):
        return "is a BMP with a palette: save it as PNG"
    return "is not a PNG, JPEG, BMP, GIF or WebP image, or is damaged"


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset that keeps its parallel calls and buffers as they are.

    The thread that tunes them sleeps for 10 ms, then twice as long each time, up to a
    minute. At the end of an iteration, TensorFlow waits for it but often fails to wake
    it: an epoch takes up to twice as long.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
