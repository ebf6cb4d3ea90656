"""Compares gradients made of TFLite operations with those of TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from export.ondevice.gradients import builtin_gradients
from zoo.errors import RunError


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 2)])
def test_gradients_of_convolutions_are_those_of_tensorflow(kernel, stride, padding):
    rng = np.random.default_rng(0)
    image = tf.constant(rng.normal(size=(2, 9, 10, 3)).astype("float32"))
    weight = tf.constant(rng.normal(size=(*kernel, 3, 4)).astype("float32"))
    check_gradients(
        lambda x, w: tf.nn.conv2d(x, w, stride, padding.upper()), [image, weight]
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_gradients_of_pooling_are_those_of_tensorflow(size, padding):
    rng = np.random.default_rng(0)
    # Whole numbers give many ties within the windows.
    image = tf.constant(rng.integers(-2, 3, (2, 7, 10, 3)).astype("float32"))
    check_gradients(lambda x: tf.nn.max_pool2d(x, size, size, padding.upper()), [image])


def test_gradients_of_relu_are_those_of_tensorflow():
    check_gradients(tf.nn.relu, [tf.constant([[-1.0, -0.0, 0.0, 1e-30, 2.0]])])


def check_gradients(function, inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
    upstream = tf.constant(
        np.random.default_rng(1).normal(size=outputs.shape).astype("float32")
    )
    expected = tape.gradient(outputs, inputs, upstream)

    @tf.function(autograph=False)
    def ours():
        with builtin_gradients():
            return tf.gradients(function(*inputs), inputs, upstream)

    graph = ours.get_concrete_function().graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not kinds & {"Conv2DBackpropFilter", "MaxPoolGrad", "ReluGrad"}
    for gradient, wanted in zip(ours(), expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 4, 2)), 1, "SAME", dilations=2),
            "out",
        ),
        (lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 2, 2)), 1, "SAME"), "and groups"),
        (lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"), "do not overlap"),
        (lambda x: tf.nn.conv2d(x, tf.ones((1, 1, 4, 2)), 1, [[0, 0]] * 4), "VALID"),
    ],
)
def test_what_has_no_gradient_is_named(function, message):
    @tf.function(autograph=False)
    def ours(x):
        with builtin_gradients():
            return tf.gradients(function(x), x)

    with pytest.raises(RunError, match=message) as caught:
        ours(tf.ones((1, 8, 8, 4)))
    assert "tflite_trainable differentiates" in str(caught.value)
