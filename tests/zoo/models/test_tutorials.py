"""Compares recipes with the tutorials' arithmetic on plain tensors."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from sklearn.datasets import load_digits

import zoo
from zoo.data import pipeline

BATCHES = 20


def regression_batches(size):
    """The tutorials' data: every batch holds all examples."""
    x = np.random.default_rng(0).normal(size=(size, 1))
    noise = np.random.default_rng(1).normal(size=(size, 1))
    return [(x, 3 * x + 2 + noise)] * BATCHES


def image_batches(size):
    """Batches of digits at 28x28; the last one is partial."""
    pixels, labels = load_digits(return_X_y=True)
    images = ndimage.zoom(pixels.reshape(-1, 8, 8) * 255 / 16, (1, 2.5, 2.5))
    images = np.pad(images.clip(0, 255), [(0, 0), (4, 4), (4, 4)])[..., np.newaxis]
    stream = itertools.cycle(range(len(labels)))
    sizes = [size] * (BATCHES - 1) + [size // 3]
    chosen = [list(itertools.islice(stream, n)) for n in sizes]
    return [(images[i].astype("uint8"), labels[i].astype("int32")) for i in chosen]


def pixels(x):
    return tf.cast(x, keras.config.floatx())


def one_hot(y):
    return tf.one_hot(y, depth=10, dtype=keras.config.floatx())


def linear(x, y, weights):
    weight, bias = weights
    prediction = pixels(x) * weight + bias
    return tf.reduce_mean(tf.square(prediction - y))


def mlp(x, weights):
    w1, b1, w2, b2, w3, b3 = weights
    h1 = tf.nn.relu(tf.reshape(x, [-1, w1.shape[0]]) @ w1 + b1)
    h2 = tf.nn.relu(h1 @ w2 + b2)
    return h2 @ w3 + b3


def mlp_low_level(x, y, weights):
    out = mlp(pixels(x) / 255.0, weights)
    return tf.reduce_mean(tf.square(one_hot(y) - out))


def mlp_keras(x, y, weights):
    out = mlp(2 * pixels(x) / 255.0 - 1, weights)
    return tf.reduce_sum(tf.square(out - one_hot(y))) / x.shape[0]


def convnet(x, y, weights):
    conv_w, conv_b, fc1_w, fc1_b, fc2_w, fc2_b = weights
    x = pixels(x) / 255.0
    x = tf.nn.conv2d(x, conv_w, strides=[1, 1, 1, 1], padding="SAME")
    x = tf.nn.relu(tf.nn.bias_add(x, conv_b))
    x = tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")
    x = tf.reshape(x, [-1, fc1_w.shape[0]])
    x = tf.nn.relu(tf.add(tf.matmul(x, fc1_w), fc1_b))
    probabilities = tf.nn.softmax(tf.add(tf.matmul(x, fc2_w), fc2_b))
    labels = one_hot(y)
    return tf.reduce_mean(-tf.reduce_sum(labels * tf.math.log(probabilities)))


# Model, recipe and loss; batch size, order and steps of the recipe on MNIST.
TUTORIALS = [
    ("linear", "tutorial", linear, None, "file", 200),
    ("linear", "tutorial_subclass", linear, None, "file", 300),
    ("mlp", "tutorial_low_level", mlp_low_level, 128, "file", 10 * 469),
    ("mlp", "tutorial_keras", mlp_keras, 512, "file", 118),
    ("convnet", "tutorial", convnet, 128, "shuffled", 2 * 469),
]


@pytest.fixture
def float64():
    """Computes in float64, where rounding flips no max-pool."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "recipe", "loss_of", "batch_size", "order", "num_steps"),
    TUTORIALS,
    ids=[f"{t[0]}-{t[1]}" for t in TUTORIALS],
)
def test_the_recipe_is_the_tutorial(
    name, recipe, loss_of, batch_size, order, num_steps
):
    settings = zoo.get_recipe(name, recipe)
    examples = settings.num_examples if name == "linear" else 60_000
    assert (settings.batch_size, settings.order) == (batch_size, order)
    assert settings.learning_rate == (1e-3 if batch_size else 0.01)
    assert pipeline.make_plan(settings, examples).steps == num_steps

    batches = image_batches(batch_size) if batch_size else regression_batches(examples)
    x, _ = batches[0]
    model = zoo.create_model(
        name,
        input_shape=x.shape[1:],
        num_classes=10 if batch_size else None,
        recipe=recipe,
    )
    weights = [tf.Variable(w) for w in model.trainable_variables]
    assert weights[0].dtype == "float64"
    for step, (x, y) in enumerate(batches):
        with tf.GradientTape() as tape:
            loss = loss_of(x, y, weights)
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(settings.learning_rate * gradient)
        ours = model.train_on_batch(x, y, return_dict=True)["loss"]
        assert ours == pytest.approx(float(loss), rel=1e-5), step
        for ours, theirs in zip(model.trainable_variables, weights, strict=True):
            error = np.linalg.norm(ours.numpy() - theirs.numpy())
            assert error <= 1e-5 * np.linalg.norm(theirs.numpy()), step


def test_the_weights_start_as_in_the_tutorials():
    def weights(name, recipe, input_shape=(28, 28, 1), num_classes=10):
        model = zoo.create_model(
            name, recipe=recipe, input_shape=input_shape, num_classes=num_classes
        )
        return [v.numpy() for v in model.trainable_variables]

    for recipe in ("tutorial", "tutorial_subclass"):
        weight, bias = weights("linear", recipe, (1,), None)
        assert (weight.item(), bias.item()) == (5.0, 10.0)

    low_level = weights("mlp", "tutorial_low_level")
    kernels, biases = low_level[0::2], low_level[1::2]
    # Truncating at two standard deviations leaves 0.88 of the deviation.
    for kernel in kernels:
        assert kernel.std() == pytest.approx(0.088, rel=0.1)
        assert np.abs(kernel).max() <= 0.2
    assert kernels[0].flat[0] != kernels[1].flat[0]
    assert not any(bias.any() for bias in biases)

    kernel = weights("mlp", "tutorial_keras")[0]
    limit = np.sqrt(6 / (784 + 256))  # Dense's default, glorot_uniform
    assert np.abs(kernel).max() == pytest.approx(limit, rel=1e-3)

    for kernel in weights("convnet", "tutorial")[0::2]:
        assert kernel.std() == pytest.approx(0.05, rel=0.15)


def test_the_layers_are_those_of_the_tutorials():
    def shapes(name, input_shape=(28, 28, 1), num_classes=10):
        model = zoo.create_model(name, input_shape=input_shape, num_classes=num_classes)
        return [tuple(weight.shape) for weight in model.trainable_weights]

    assert shapes("linear", (1,), None) == [(1, 1), (1,)]
    assert shapes("linear") == [(784, 10), (10,)]
    dense = [(784, 256), (256,), (256, 128), (128,), (128, 10), (10,)]
    assert shapes("mlp") == dense
    conv = [(3, 3, 1, 32), (32,), (14 * 14 * 32, 1024), (1024,), (1024, 10), (10,)]
    assert shapes("convnet") == conv
