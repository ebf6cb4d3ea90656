"""Random numbers for a batch of images, or for some rows of it."""

from __future__ import annotations

import tensorflow as tf

#: The first row, and the size of the whole batch.
Rows = tuple[tf.Tensor | int, tf.Tensor | int]


def whole(images: tf.Tensor, rows: Rows | None) -> tf.Tensor | int:
    """Returns how many images are drawn for: the whole batch.

    Then not one bit depends on who makes which images.
    """
    return rows[1] if rows else tf.shape(images)[0]


def part(drawn: tf.Tensor, images: tf.Tensor, rows: Rows | None) -> tf.Tensor:
    """Returns the rows of what was drawn that belong to the images."""
    first = rows[0] if rows else 0
    return drawn[first : first + tf.shape(images)[0]]
