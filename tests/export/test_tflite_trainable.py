"""The file that keeps learning, for every model: against Keras and as an app has it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import export
import zoo
from export import formats, lowering, tflite_trainable
from zoo.errors import RunError
from zoo.learner import Learner

BATCH = 4
SHAPE = (12, 12, 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file of each model, untrained, on 12x12 images, made when asked for."""
    made = {}

    def write(name, optimizer="sgd"):
        if (name, optimizer) not in made:
            keras.utils.set_random_seed(3)
            model = zoo.create_model(name, input_shape=SHAPE, num_classes=10)
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    # What a training leaves: neither 0 nor 1.
                    layer.moving_mean.assign(layer.moving_mean + 0.1)
                    layer.moving_variance.assign(layer.moving_variance * 0.6)
            path = tmp_path_factory.mktemp(name) / "model_trainable.tflite"
            data = {"input_shape": list(SHAPE), "num_classes": 10}
            tflite_trainable.write(
                model, data, path, train_batch=BATCH, device_optimizer=optimizer
            )
            made[name, optimizer] = model, path
        return made[name, optimizer]

    return write


def batches(steps, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (steps, BATCH, *SHAPE)).astype("uint8")
    return zip(x, rng.integers(0, 10, (steps, BATCH)), strict=True)


def keras_steps(model, data, learning_rate, momentum):
    """Stock Keras on the gradients of TensorFlow, the model as it infers."""
    twin = type(model).from_config(model.get_config())
    twin(tf.zeros((1, *SHAPE)))
    twin.set_weights(model.get_weights())
    optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
    losses = []
    for x, y in data:
        with tf.GradientTape() as tape:
            logits = twin(x, training=False)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            )
        gradients = tape.gradient(loss, twin.trainable_weights)
        optimizer.apply(gradients, twin.trainable_weights)
        losses.append(float(loss))
    return twin, losses


@pytest.mark.parametrize("optimizer", formats.DEVICE_OPTIMIZERS)
@pytest.mark.parametrize("name", zoo.list_models())
def test_steps_are_those_of_keras(name, optimizer, written):
    model, path = written(name, optimizer)
    learner = Learner(path)
    momentum = 0.9 if optimizer == "momentum" else 0.0
    twin, expected = keras_steps(model, batches(20), 0.03, momentum)
    losses = [learner.train(x, y, 0.03) for x, y in batches(20)]
    np.testing.assert_allclose(losses, expected, atol=1e-4)
    weights = learner.weights()
    assert list(weights) == sorted(model.parameter_names)
    for key, before, after in zip(
        model.parameter_names,
        model.trainable_weights,
        twin.trainable_weights,
        strict=True,
    ):
        np.testing.assert_allclose(weights[key], after, atol=1e-4, err_msg=key)
        # A weight that moves little must move as Keras moves it, too.
        moved = np.abs(after.numpy() - before.numpy()).max()
        assert moved > 2e-5, key
        np.testing.assert_allclose(
            weights[key], after, rtol=0, atol=moved / 20 + 2e-6, err_msg=key
        )
    x, _ = next(batches(1, seed=1))
    answers = learner.infer(x)
    np.testing.assert_allclose(answers, tf.nn.softmax(twin(x)), atol=1e-4)

    fresh = Learner(path)
    assert fresh.restore(weights)
    np.testing.assert_array_equal(fresh.infer(x), answers)
    learner.reset()
    shipped = learner.infer(x)
    np.testing.assert_allclose(shipped, tf.nn.softmax(model(x)), atol=1e-5)
    for key, weight in zip(model.parameter_names, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(learner.weights()[key], weight)
    # Momentum starts anew as well.
    again = [learner.train(x, y, 0.03) for x, y in batches(20)]
    np.testing.assert_allclose(again, losses, atol=1e-6)


@pytest.mark.parametrize("optimizer", formats.DEVICE_OPTIMIZERS)
@pytest.mark.parametrize("name", zoo.list_models())
def test_a_file_is_what_it_says(name, optimizer, written):
    model, path = written(name, optimizer)
    interpreter = Interpreter(str(path))
    names = sorted(model.parameter_names)
    assert interpreter.get_signature_list() == {
        "infer": {"inputs": ["image"], "outputs": ["probabilities"]},
        "train": {
            "inputs": ["image", "label", "learning_rate"],
            "outputs": ["loss"],
        },
        "weights": {"inputs": [], "outputs": names},
        "weights_java": {"inputs": ["ignored"], "outputs": names},
        "restore": {"inputs": names, "outputs": ["restored"]},
        "reset": {"inputs": [], "outputs": ["restored"]},
        "reset_java": {"inputs": ["ignored"], "outputs": ["restored"]},
    }
    given = interpreter.get_signature_runner("train").get_input_details()
    assert {k: (tuple(v["shape"]), v["dtype"]) for k, v in given.items()} == {
        "image": ((BATCH, *SHAPE), np.float32),
        "label": ((BATCH,), np.int32),
        "learning_rate": ((), np.float32),
    }
    operations = export.load(path).operations
    assert "CALL_ONCE" in operations
    # Names of built-in operations are in capitals; custom and Flex ones are not.
    assert all(op == op.upper() and not op.startswith("CUSTOM") for op in operations)


def test_java_finds_an_input_in_every_signature(written):
    _, path = written("mlp", "momentum")
    learner = Learner(path)
    interpreter = learner._interpreter
    x, y = next(batches(1))
    shipped = learner.weights()
    learner.train(x, y, 0.1)
    zero = np.float32(0)
    java = interpreter.get_signature_runner("weights_java")(ignored=zero)
    for key, value in learner.weights().items():
        np.testing.assert_array_equal(java[key], value)
    assert interpreter.get_signature_runner("reset_java")(ignored=zero)["restored"]
    for key, value in learner.weights().items():
        np.testing.assert_array_equal(shipped[key], value)


BAD = {
    "label -1": {"label": -1},
    "label 10": {"label": 10},
    "label 2**31-1": {"label": 2**31 - 1},
    "pixel nan": {"pixel": np.nan},
    "pixel inf": {"pixel": np.inf},
    "pixel -inf": {"pixel": -np.inf},
    "rate nan": {"rate": np.nan},
    "rate inf": {"rate": np.inf},
    "rate -inf": {"rate": -np.inf},
}


@pytest.mark.parametrize("optimizer", formats.DEVICE_OPTIMIZERS)
@pytest.mark.parametrize("name", zoo.list_models())
def test_bad_input_leaves_the_weights_as_they_were(name, optimizer, written):
    _, path = written(name, optimizer)
    learner, untouched = Learner(path), Learner(path)
    (x, y), (after_x, after_y) = batches(2)
    for one in (learner, untouched):
        for _ in range(3):
            one.train(x, y, 0.01)
    before = learner.weights()
    for case, bad in BAD.items():
        images, labels = x.astype("float32"), y.copy()
        images[1, 3, 3, 0] = bad.get("pixel", images[1, 3, 3, 0])
        labels[2] = bad.get("label", labels[2])
        assert np.isnan(learner.train(images, labels, bad.get("rate", 0.1))), case
        for key, value in learner.weights().items():
            np.testing.assert_array_equal(value, before[key], err_msg=case)
    broken = {key: value.copy() for key, value in before.items()}
    next(iter(broken.values())).flat[0] = np.nan
    if optimizer == "sgd":
        assert not learner.restore(broken)
    # What comes next is as if nothing had happened: momentum is as it was too.
    losses = [one.train(after_x, after_y, 0.01) for one in (learner, untouched)]
    assert losses[0] == losses[1]
    kept, expected = learner.weights(), untouched.weights()
    for key in kept:
        np.testing.assert_array_equal(kept[key], expected[key])


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
    # Whole numbers: windows are full of ties.
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
        with lowering.builtin_gradients():
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
        with lowering.builtin_gradients():
            return tf.gradients(function(x), x)

    with pytest.raises(RunError, match=message) as caught:
        ours(tf.ones((1, 8, 8, 4)))
    assert "tflite_trainable differentiates" in str(caught.value)
