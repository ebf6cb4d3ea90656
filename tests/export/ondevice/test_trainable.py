"""Tests the trainable file of every model against Keras, and as an app uses it."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import export
import zoo
from export.ondevice import gradients as tflite_gradients
from export.ondevice import trainable as tflite_trainable
from export.ondevice import verify as verify_training
from export.ondevice.learner import Learner
from tests.export.conftest import copied, records, run_code, snapshot
from zoo import registry
from zoo.errors import RunError, UserError
from zoo.models.base import TapeModel

BATCH = 4
SHAPE = (12, 12, 1)
#: Recipes of smaller networks, because rounding grows with the depth of a network, and
#: the time with its width.
RECIPES = {"mobilenet_v2": "small", "resnet": "tiny"}
WRITTEN = [
    # mobilenet_v2 has the same operations, and takes half the time.
    pytest.param(name, "sgd", marks=[pytest.mark.slow] * (name == "efficientnet_lite"))
    for name in zoo.list_models()
]
WRITTEN.append(("mlp", "momentum"))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of untrained models for small images, created on demand."""
    made = {}

    def write(name, optimizer="sgd"):
        if (name, optimizer) not in made:
            keras.utils.set_random_seed(3)
            shape = shape_for(name)
            model = zoo.create_model(
                name,
                input_shape=shape,
                num_classes=10,
                recipe=RECIPES.get(name, "default"),
            )
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    # After a training, the statistics are neither 0 nor 1.
                    layer.moving_mean.assign(layer.moving_mean + 0.1)
                    layer.moving_variance.assign(layer.moving_variance * 0.6)
            if name == "resnet":  # keeps residual sums as small as those of images
                ((x, _),) = batches(1, seed=2)
                for _ in range(30):
                    model(x, training=True)
            path = tmp_path_factory.mktemp(name) / "model_trainable.tflite"
            freeze = registry.get_architecture(name).device_freeze
            options = {"device_optimizer": optimizer, "freeze": freeze}
            tflite_trainable.write(model, shape, path, train_batch=BATCH, **options)
            made[name, optimizer] = model, path
        return made[name, optimizer]

    return write


def shape_for(name):
    """Returns the shape of the images of a model's file."""
    side = max(SHAPE[0], registry.get_architecture(name).min_side)
    return (side, side, 1)


def batches(steps, seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (steps, BATCH, *shape)).astype("uint8")
    return zip(x, rng.integers(0, 10, (steps, BATCH)), strict=True)


def keras_steps(model, data, learning_rate, momentum, freeze=None):
    """Trains with stock Keras and TensorFlow's gradients, in inference mode."""
    twin = type(model).from_config(model.get_config() | {"freeze": freeze})
    twin(tf.zeros((1, *model.example_shape)))
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


@pytest.mark.parametrize(("name", "optimizer"), WRITTEN)
def test_steps_are_those_of_keras(name, optimizer, written):
    model, path = written(name, optimizer)
    learner = Learner(path)
    momentum = 0.9 if optimizer == "momentum" else 0.0
    freeze = registry.get_architecture(name).device_freeze
    steps, rate = (5, 1e-4) if name == "resnet" else (5 if freeze else 20, 0.03)
    shape = shape_for(name)
    data = [*batches(steps, shape=shape)]
    twin, expected = keras_steps(model, data, rate, momentum, freeze)
    losses = [learner.train(x, y, rate) for x, y in data]
    np.testing.assert_allclose(losses, expected, atol=1e-4)
    weights = learner.weights()
    learned = model.parameters(freeze)
    assert list(weights) == sorted(learned)
    for key, before in learned.items():
        after = twin.parameters()[key]
        np.testing.assert_allclose(weights[key], after, atol=1e-4, err_msg=key)
        # A weight that changes little must also change as in Keras.
        moved = np.abs(after.numpy() - before.numpy()).max()
        assert moved > 2e-5, key
        np.testing.assert_allclose(
            weights[key], after, rtol=0, atol=moved / 20 + 2e-6, err_msg=key
        )
    x, _ = next(batches(1, seed=1, shape=shape))
    answers = learner.infer(x)
    np.testing.assert_allclose(answers, tf.nn.softmax(twin(x)), atol=1e-4)

    fresh = Learner(path)
    assert fresh.restore(weights)
    np.testing.assert_array_equal(fresh.infer(x), answers)
    learner.reset()
    shipped = learner.infer(x)
    np.testing.assert_allclose(shipped, tf.nn.softmax(model(x)), atol=1e-5)
    for key, weight in learned.items():
        np.testing.assert_array_equal(learner.weights()[key], weight)
    # Momentum starts again as well.
    again = [learner.train(x, y, rate) for x, y in data]
    np.testing.assert_allclose(again, losses, atol=1e-6)


@pytest.mark.parametrize(("name", "optimizer"), WRITTEN)
def test_a_file_is_what_it_says(name, optimizer, written):
    model, path = written(name, optimizer)
    interpreter = Interpreter(str(path))
    names = sorted(model.parameters(registry.get_architecture(name).device_freeze))
    assert interpreter.get_signature_list() == {
        "infer": {"inputs": ["image"], "outputs": ["probabilities"]},
        "train": {"inputs": ["image", "label", "learning_rate"], "outputs": ["loss"]},
        "weights": {"inputs": [], "outputs": names},
        "weights_java": {"inputs": ["ignored"], "outputs": names},
        "restore": {"inputs": names, "outputs": ["restored"]},
        "reset": {"inputs": [], "outputs": ["restored"]},
        "reset_java": {"inputs": ["ignored"], "outputs": ["restored"]},
    }
    given = interpreter.get_signature_runner("train").get_input_details()
    assert {k: (tuple(v["shape"]), v["dtype"]) for k, v in given.items()} == {
        "image": ((BATCH, *shape_for(name)), np.float32),
        "label": ((BATCH,), np.int32),
        "learning_rate": ((), np.float32),
    }
    operations = export.load(path).operations
    assert "CALL_ONCE" in operations
    # Built-in operations have names in capitals; custom and Flex operations do not.
    assert all(op == op.upper() and not op.startswith("CUSTOM") for op in operations)


def test_java_finds_an_input_in_every_signature(written):
    _, path = written("mlp", "momentum")
    learner = Learner(path)
    interpreter = learner._infer.interpreter
    x, y = next(batches(1))
    shipped = learner.weights()
    learner.train(x, y, 0.1)
    zero = np.float32(0)
    java = interpreter.get_signature_runner("weights_java")(ignored=zero)
    check_equal(java, learner.weights())
    assert interpreter.get_signature_runner("reset_java")(ignored=zero)["restored"]
    check_equal(shipped, learner.weights())


def check_equal(weights, expected):
    assert weights.keys() == expected.keys()
    for key, value in weights.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


NOT_FINITE = (np.nan, np.inf, -np.inf)
BAD = [("label", label) for label in (-1, 10, 2**31 - 1)]
BAD += [(name, number) for name in ("pixel", "rate") for number in NOT_FINITE]


@pytest.mark.parametrize(
    ("name", "optimizer"), [("allconv", "sgd"), ("mlp", "momentum")]
)
def test_bad_input_leaves_the_weights_as_they_were(name, optimizer, written):
    _, path = written(name, optimizer)
    learner, untouched = Learner(path), Learner(path)
    (x, y), (after_x, after_y) = batches(2)
    for one in (learner, untouched):
        for _ in range(3):
            one.train(x, y, 0.01)
    before = learner.weights()
    for name, bad in BAD:
        images, labels = x.astype("float32"), y.copy()
        if name == "pixel":
            images[1, 3, 3, 0] = bad
        elif name == "label":
            labels[2] = bad
        rate = bad if name == "rate" else 0.1
        assert np.isnan(learner.train(images, labels, rate)), (name, bad)
        check_equal(learner.weights(), before)
    broken = {key: value.copy() for key, value in before.items()}
    for number in NOT_FINITE:
        next(iter(broken.values())).flat[0] = number
        with pytest.raises(UserError, match="must hold finite numbers"):
            learner.restore(broken)
        if optimizer == "sgd":  # momentum starts again all the same
            assert not learner._restore(**broken)["restored"]
    # Later steps give the same losses, so the momentum has not changed either.
    losses = [one.train(after_x, after_y, 0.01) for one in (learner, untouched)]
    assert losses[0] == losses[1]
    check_equal(learner.weights(), untouched.weights())


def file_of(trained):
    return trained.run.export / "tflite" / "model_trainable.tflite"


def test_the_proof_is_in_export_json(runs):
    record = records(runs("mlp"))["trainable"]
    assert record.agreement == 1.0
    proof = record.details["training"]
    assert (proof["optimizer"], proof["batch_size"], proof["steps"]) == ("sgd", 16, 20)
    for key in ("max_loss_error", "max_weight_error"):
        assert proof[key] <= 1e-4
    assert proof["max_restored_error"] <= 1e-6
    assert proof["max_weight_change"] > 1e-3
    assert proof["step_ms"] > 0
    assert proof["memory_bytes"] > record.bytes


def test_its_options_are_those_of_the_file_and_the_rest_stays(small):
    (path,) = (small.run.export / file.path for file in records(small).values())
    export.export_run(
        small,
        ["tflite_trainable"],
        train_batch=3,
        device_optimizer="momentum",
        plots=False,
    )
    assert path.exists()
    assert list(records(small)) == ["float32", "trainable"]
    training = records(small)["trainable"].details["training"]
    assert (training["batch_size"], training["optimizer"]) == (3, "momentum")
    assert export.Learner(file_of(small)).batch_size == 3


def test_the_python_of_the_card_learns(copy):
    card = (copy.run.export / "README.md").read_text()
    assert "uses its moving statistics without changing them" in card
    for language in ("Python", "Kotlin", "Swift", "C++"):
        assert f"### Learning in {language}" in card
    run_code(card.partition("### Learning in Python")[2], copy.run.export)
    learned = copy.run.export / "learned.npz"
    model = zoo.load_run(copy.run.path, device_weights=learned)
    assert np.isfinite(model(np.zeros((1, 28, 28, 1), "uint8"))).all()


def test_what_the_device_has_learned_comes_back_to_keras(runs, digits, tmp_path):
    learner, run = Learner(file_of(runs("mlp"))), runs("mlp").run.path
    for i in range(0, 160, 16):
        learner.train(digits.train.x[i : i + 16], digits.train.y[i : i + 16], 0.1)
    np.savez(tmp_path / "learned.npz", **learner.weights())
    model = zoo.load_run(run, device_weights=tmp_path / "learned.npz")
    x = digits.test.x[:50]
    answers = learner.infer(x)
    np.testing.assert_allclose(tf.nn.softmax(model(x)), answers, atol=1e-5)
    before = tf.nn.softmax(zoo.load_run(run)(x))
    assert np.abs(answers - before).max() > 1e-2
    assert model.optimizer is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("logits_bias"), r"logits_bias must have .*Received: nothing"),
        (lambda w: w.update(more=w["logits_bias"]), "more must have the shape of noth"),
        (lambda w: w.update(logits_bias=np.zeros(9)), r"\(10,\). Received: \(9,\)"),
        (lambda w: w.update(logits_bias=np.full(10, np.nan)), "must hold finite numb"),
        (lambda w: w.update(logits_bias=np.array(["a"] * 10)), "must hold numbers"),
        (lambda w: w.update(logits_bias=np.full(10, 1e300)), "Received: 1e\\+300"),
    ],
)
def test_weights_of_something_else_are_refused(runs, tmp_path, change, message):
    run, weights = runs("mlp").run.path, Learner(file_of(runs("mlp"))).weights()
    change(weights)
    np.savez(tmp_path / "w.npz", **weights)
    with pytest.raises(UserError, match=message):
        zoo.load_run(run, device_weights=tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(UserError, match=r"must be an .npz file .*w.npz"):
        zoo.load_run(run, device_weights=tmp_path / "w.npz")


def test_a_learner_refuses_what_does_not_fit(runs, digits):
    run, learner = runs("mlp").run.path, Learner(file_of(runs("mlp")))
    x, y = digits.train.x[:16], digits.train.y[:16]
    with pytest.raises(UserError, match="from 16 images .*Received: 15 images"):
        learner.train(x[:15], y, 0.1)
    with pytest.raises(UserError, match=r"labels of shape \(16, 1\)"):
        learner.train(x, y[:, None], 0.1)
    with pytest.raises(UserError, match=r"\(n, 28, 28, 1\). Received: \(16, 28, 28\)"):
        learner.infer(x[..., 0])
    with pytest.raises(UserError, match="not the weights of model_trainable.tflite"):
        learner.restore({})
    for path in (run / "config.json", run / "nothing.tflite"):
        with pytest.raises(UserError, match="A learner is a model_trainable.tflite"):
            Learner(path)


def test_a_regression_is_refused(regression):
    with pytest.raises(UserError, match="classifiers .*, a regression. Leave"):
        export.export_run(regression, ["tflite_trainable"])


class Depthwise(TapeModel):
    """A network whose stem has operations that have no gradients in TFLite."""

    stages = ("stem", "head")

    def __init__(self, num_classes, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.stem = keras.layers.DepthwiseConv2D(3, depth_multiplier=8, name="stem")
        self.relu6 = keras.layers.ReLU(6.0)
        self.mean = keras.layers.GlobalAveragePooling2D()
        self.head = self.make_head(keras.layers.Dense, num_classes)

    def call(self, image, training=False):
        return self.head(self.mean(self.relu6(self.stem(self.rescale(image)))))


@pytest.mark.parametrize("optimizer", export.formats.DEVICE_OPTIMIZERS)
def test_what_is_frozen_needs_no_gradients(optimizer, tmp_path):
    model = Depthwise(10)
    model.build((None, *SHAPE))
    options = {"train_batch": BATCH, "device_optimizer": optimizer}
    path = tmp_path / "model_trainable.tflite"
    with pytest.raises(RunError, match="to built-in operations: .*Depthwise"):
        tflite_trainable.write(model, SHAPE, path, **options)
    tflite_trainable.write(model, SHAPE, path, **options, freeze="head")
    momentum = export.formats.DEVICE_OPTIMIZERS[optimizer]
    twin, expected = keras_steps(model, batches(20), 0.1, momentum, "head")
    learner = Learner(path)
    losses = [learner.train(x, y, 0.1) for x, y in batches(20)]
    np.testing.assert_allclose(losses, expected, atol=1e-4)
    weights = learner.weights()
    assert list(weights) == ["head_bias", "head_kernel"]
    for key, weight in weights.items():
        np.testing.assert_allclose(weight, twin.parameters()[key], atol=1e-4)
        assert np.abs(weight - model.parameters()[key]).max() > 1e-2
    # The frozen weights are constants of the file.
    operations = Interpreter(str(path))._get_ops_details()
    assert [op["op_name"] for op in operations].count("VAR_HANDLE") <= 4
    x, _ = next(batches(1))
    np.testing.assert_allclose(learner.infer(x), tf.nn.softmax(twin(x)), atol=1e-4)


def test_an_architecture_may_learn_from_a_stage_on(runs, tmp_path, monkeypatch, digits):
    trained = copied(runs("resnet"), tmp_path / "run")
    architecture = registry.get_architecture("resnet")
    from_head = dataclasses.replace(architecture, device_freeze="head")
    monkeypatch.setitem(registry._ARCHITECTURES, "resnet", from_head)
    export.export_run(trained, ["tflite_trainable"], plots=False)
    proof = records(trained)["trainable"].details["training"]
    assert proof["max_weight_change"] > 1e-3
    learner = Learner(file_of(trained))
    for i in range(0, 160, 16):
        learner.train(digits.train.x[i : i + 16], digits.train.y[i : i + 16], 0.1)
    np.savez(tmp_path / "learned.npz", **learner.weights())
    model = zoo.load_run(trained.run.path, tmp_path / "learned.npz")
    x = digits.test.x[:50]
    answers = learner.infer(x)
    np.testing.assert_allclose(tf.nn.softmax(model(x)), answers, atol=1e-4)
    before = {weight.path: weight for weight in trained.model.weights}
    changed = {
        weight.path
        for weight in model.weights
        if not np.array_equal(weight, before[weight.path])
    }
    assert changed == {"resnet/head/kernel", "resnet/head/bias"}
    # A training that froze more decides.
    assert trained.device_freeze == "head"
    monkeypatch.undo()
    assert trained.device_freeze is None
    trained.model.freeze = "stage3"
    assert trained.device_freeze == "stage3"


@pytest.mark.slow
def test_faults_are_caught_and_nothing_is_replaced(small, monkeypatch):
    def check(message):
        before = snapshot(small.run.path)
        with pytest.raises(RunError, match=message):
            export.export_run(small, ["tflite_trainable"], device_optimizer="momentum")
        assert snapshot(small.run.path) == before
        monkeypatch.undo()

    device = tflite_trainable._Device
    monkeypatch.setattr(
        tflite_trainable,
        "_Device",
        lambda *arguments: device(*arguments[:-1], 0.8),
    )
    check("model_trainable.tflite .*max_weight_error is .*, allowed 0.0001")
    monkeypatch.setattr(verify_training, "MAX_SIZE", 0.5)
    monkeypatch.setattr(verify_training, "GRAPH_BYTES", 0)
    monkeypatch.setattr(verify_training, "GRAPH_BYTES_OF_KERNEL", 0)
    check("it has .* bytes, allowed")
    restore = tflite_trainable._Device._restore
    monkeypatch.setattr(
        tflite_trainable._Device,
        "_restore",
        lambda self, **w: restore(self, **{k: 1.01 * v for k, v in w.items()}),
    )
    check("max_restored_error is .*, allowed 1e-06")
    sign = tf.sign
    monkeypatch.setattr(tflite_gradients.tf, "sign", lambda x: 1.02 * sign(x))
    check("max_(loss|weight)_error is")
