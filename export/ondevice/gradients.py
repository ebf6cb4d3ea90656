"""Gradients made of built-in TFLite operations.

TensorFlow computes the gradients of convolution, max-pooling and relu with operations
that no TFLite runtime has: Conv2DBackpropFilter, MaxPoolGrad and ReluGrad. Within
``builtin_gradients``, the gradients of this module replace them in all layers and
functions. The forward pass stays the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from zoo.errors import RunError


@contextlib.contextmanager
def builtin_gradients() -> Iterator[None]:
    """Uses our gradients for operations that are created in this context.

    Use ``tf.gradients`` inside a ``tf.function``, because a GradientTape chooses
    gradients by the type of an operation and ignores the graph's map. All shapes must
    be static, including the batch. ``tf.gradients`` raises RunError for a convolution
    or pooling of a kind that the zoo's models do not use.
    """
    ours = {kind: f"Builtin{kind}" for kind in ("Conv2D", "MaxPool", "Relu")}
    with tf.compat.v1.get_default_graph().gradient_override_map(ours):
        yield


@tf.RegisterGradient("BuiltinRelu")
def _relu(operation: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    # The outputs are never negative, so their sign is 0 or 1.
    return gradient * tf.sign(operation.outputs[0])


@tf.RegisterGradient("BuiltinConv2D")
def _conv2d(
    operation: tf.Operation, gradient: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Differentiates a convolution with respect to its image and its kernel.

    The gradient of the image is a transposed convolution. The gradient of the kernel is
    one matrix product per position in the kernel. Alternatives are a single product of
    all patches, and a convolution with the gradient as the kernel. They take 2 to 3
    times as long in LiteRT and hold all patches in memory.
    """
    image, kernel = operation.inputs
    strides, padding = operation.get_attr("strides"), operation.get_attr("padding")
    stride = strides[1]
    plain = operation.get_attr("dilations") == [1] * 4 and strides[2] == stride
    _require(
        operation,
        plain and kernel.shape[2] == image.shape[3],
        "the same stride both ways, without dilation and groups",
    )
    batch, rows, columns, _ = gradient.shape
    height, width, channels, filters = kernel.shape
    of_image = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=image.shape.as_list(),
        filter=kernel,
        out_backprop=gradient,
        strides=strides,
        padding=padding,
    )
    # Split the image into windows of the size of the stride. The pixels that a position
    # of the kernel sees then form a contiguous slice.
    high, wide = rows + (height - 1) // stride, columns + (width - 1) // stride
    corner = _padding(operation, (height, width), stride)
    canvas = _place(image, corner, (high * stride, wide * stride))
    windows = tf.reshape(canvas, [batch * high, stride, wide, stride * channels])
    by_filter = tf.transpose(tf.reshape(gradient, [-1, filters]))
    products = []
    for i in range(height):
        for j in range(width):
            begin = [0, i % stride, 0, j % stride * channels]
            seen = tf.slice(windows, begin, [batch * high, 1, wide, channels])
            seen = tf.reshape(seen, [batch, high, wide, channels])
            begin = [0, i // stride, j // stride, 0]
            seen = tf.slice(seen, begin, [batch, rows, columns, channels])
            products.append(by_filter @ tf.reshape(seen, [-1, channels]))
    of_kernel = tf.reshape(tf.stack(products), [height, width, filters, channels])
    return of_image, tf.transpose(of_kernel, [0, 1, 3, 2])


@tf.RegisterGradient("BuiltinMaxPool")
def _max_pool(operation: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """Passes the gradient to the first maximum of a window, as TensorFlow does."""
    (image,), (largest,) = operation.inputs, operation.outputs
    size, square = operation.get_attr("ksize")[1], operation.get_attr("ksize")
    plain = square == operation.get_attr("strides") == [1, size, size, 1]
    _require(operation, plain, "square windows that do not overlap")
    batch, rows, columns, channels = largest.shape
    top, left = _padding(operation, (size, size), size)
    canvas = _place(image, (top, left), (rows * size, columns * size), image.dtype.min)
    windows = tf.reshape(canvas, [batch * rows, size, columns, size * channels])
    rest = tf.reshape(gradient, [batch * rows, 1, columns, channels])
    largest = tf.reshape(largest, rest.shape)
    parts = []
    for i in range(size):
        for j in range(size):
            pixels = tf.slice(windows, [0, i, 0, j * channels], rest.shape)
            # 0 where this pixel is the maximum, so that later pixels get nothing.
            passed = rest * tf.sign(largest - pixels)
            parts.append(rest - passed)
            rest = passed
    lines = [tf.concat(parts[i : i + size], 3) for i in range(0, len(parts), size)]
    of_canvas = tf.reshape(tf.concat(lines, 1), canvas.shape)
    return _place(of_canvas, (-top, -left), image.shape[1:3])


def _padding(
    operation: tf.Operation, size: tuple[int, int], stride: int
) -> tuple[int, int]:
    """Returns the rows of padding above the image and the columns left of it."""
    padding = operation.get_attr("padding")
    _require(operation, padding in (b"SAME", b"VALID"), "SAME or VALID padding")
    _require(operation, operation.get_attr("data_format") == b"NHWC", "channels last")
    if padding == b"VALID":
        return 0, 0
    shapes = (operation.inputs[0].shape[1:3], operation.outputs[0].shape[1:3])
    top, left = (
        max((outputs - 1) * stride + window - length, 0) // 2
        for length, outputs, window in zip(*shapes, size, strict=True)
    )
    return top, left


def _place(
    image: tf.Tensor,
    corner: tuple[int, int],
    size: tuple[int, int],
    background: float = 0.0,
) -> tf.Tensor:
    """Places images on a canvas of a size and cuts off what extends beyond it.

    ``corner`` is the row and column of the images' upper left corner on the canvas.
    """
    batch, *lengths, channels = image.shape
    around = [
        (max(begin, 0), max(canvas - begin - length, 0))
        for begin, length, canvas in zip(corner, lengths, size, strict=True)
    ]
    if any(map(any, around)):
        image = tf.pad(image, [(0, 0), *around, (0, 0)], constant_values=background)
    if image.shape[1:3] != list(size):
        cut = [max(-begin, 0) for begin in corner]
        image = tf.slice(image, [0, *cut, 0], [batch, *size, channels])
    return image


def _require(operation: tf.Operation, met: bool, condition: str) -> None:
    if not met:
        raise RunError(
            f"tflite_trainable differentiates {operation.type} with {condition}. "
            f"Received: {operation.name}. Leave the format out of --formats."
        )
