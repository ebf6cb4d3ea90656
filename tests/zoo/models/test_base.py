"""Compares TapeModel.train_step with the step of stock Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.zoo.models.test_models import (
    RECIPES,
    create,
    examples,
    larger_are_slow,
    size_for,
)
from zoo.models.base import TapeModel
from zoo.models.layers import BatchNormalization
from zoo.training import distribute, trainer

# The recipes that differ in layers, loss or optimizer.
DISTINCT = {}
for _name, _recipe in RECIPES:
    _fields = zoo.get_recipe(_name, _recipe)
    DISTINCT[_name, str(_fields.model), _fields.loss, _fields.optimizer] = _recipe


def stock(model):
    """Returns a stock Keras model with the same layers, weights, loss, optimizer."""
    shape = model.get_build_config()["input_shape"]
    inputs = keras.Input(shape[1:], batch_size=shape[0])
    twin = keras.Model(inputs, model.call(inputs, training=True))
    # Both models share the layers; the caller restores the weights in between.
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
    # get_config() leaves this out.
    exclude = getattr(model.optimizer, "_exclude_from_weight_decay_pattern", None)
    optimizer.exclude_from_weight_decay(var_names=exclude and [exclude.pattern])
    twin.compile(
        optimizer=optimizer,
        loss=model.loss,
        metrics=[] if model.num_classes is None else ["accuracy"],
        run_eagerly=True,
    )
    assert type(twin).train_step is not type(model).train_step
    return twin


def steps(model, batches, **options):
    """Trains on batches; returns the logs of each batch and the final weights."""
    logs = [model.train_on_batch(x, y, return_dict=True, **options) for x, y in batches]
    return logs, model.get_weights()


@pytest.mark.parametrize(
    ("name", "recipe"),
    larger_are_slow((key[0], recipe) for key, recipe in DISTINCT.items()),
)
def test_a_step_equals_the_stock_step(name, recipe):
    model = create(name, recipe)
    twin = stock(model)
    batches = [examples(*size_for(name, recipe))] * 3
    # Includes the seeds of dropout, which are not weights.
    start = [variable.numpy() for variable in model.variables]
    ends = []
    for weights in (None, np.linspace(0.1, 2, 32, dtype="float32")):
        results = []
        for each in (model, twin):
            for variable, value in zip(model.variables, start, strict=True):
                variable.assign(value)
            results.append(steps(each, batches, sample_weight=weights))
        (ours, our_weights), (theirs, their_weights) = results
        for our, their in zip(ours, theirs, strict=True):
            assert our == pytest.approx(their, rel=1e-6)
            assert our["loss"] > 0
        for a, b in zip(our_weights, their_weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        ends.append(our_weights[0])
    assert not np.allclose(*ends, rtol=1e-5)


def test_regularization_losses_are_learned_from():
    def train(regularizer):
        keras.utils.set_random_seed(3)
        model = create("linear")
        model.dense.kernel_regularizer = regularizer
        model.dense.kernel.regularizer = regularizer
        model.set_weights([w + 1 for w in model.get_weights()])
        logs, _ = steps(model, [examples((12, 12, 1), 10)])
        return logs[0]["loss"]

    added = train(keras.regularizers.L2(0.01)) - train(None)
    assert added == pytest.approx(0.01 * 144 * 10, rel=1e-4)  # the kernel is all ones


def test_mixed_precision_learns_as_float32_does():
    recipe = zoo.get_recipe("mlp").override(
        optimizer="sgd", learning_rate=0.1, weight_decay=0.0
    )

    def train(precision):
        keras.utils.set_random_seed(3)
        with trainer.dtype_policy(precision):
            model = create("mlp", recipe, report_gradient_norm=True)
        start = model.get_weights()
        logs, end = steps(model, [examples((12, 12, 1), 10)] * 5)
        return logs[-1], [b - a for a, b in zip(start, end, strict=True)]

    reference, their_moves = train("float32")
    for precision in ("mixed_float16", "mixed_bfloat16"):
        logs, moves = train(precision)
        for ours, theirs in zip(moves, their_moves, strict=True):
            difference = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
            assert difference < 0.1  # without scale_loss, it is almost 1
        assert logs["loss"] == pytest.approx(reference["loss"], rel=0.02)
        norm = pytest.approx(reference["gradient_norm"], rel=0.05)
        assert logs["gradient_norm"] == norm


def test_two_replicas_report_the_loss_of_one():
    x, y = examples((12, 12, 1), 10, size=64)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)

    def train():
        keras.utils.set_random_seed(3)
        model = zoo.create_model(
            "mlp",
            input_shape=(12, 12, 1),
            num_classes=10,
            report_gradient_norm=True,
        )
        return model.fit(data, epochs=2, verbose=0).history, model.get_weights()

    one, one_weights = train()
    with distribute.place("mirrored", None).scope():
        two, two_weights = train()
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
    assert one["accuracy"] == pytest.approx(two["accuracy"])
    assert one["gradient_norm"] == pytest.approx(two["gradient_norm"], rel=1e-3)
    for a, b in zip(one_weights, two_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_the_gradient_norm_is_that_of_plain_tensors():
    model = create("convnet", report_gradient_norm=True)
    x, y = examples((12, 12, 1), 10)
    with tf.GradientTape() as tape:
        logits = model(x)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        )
    gradients = tape.gradient(loss, model.trainable_variables)
    expected = np.sqrt(sum(np.sum(np.square(g)) for g in gradients))
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["gradient_norm"] == pytest.approx(expected, rel=1e-4)
    assert "gradient_norm" not in model.evaluate(x, y, verbose=0, return_dict=True)


def test_a_layer_that_belongs_to_no_stage_is_an_error():
    class Forgetful(TapeModel):
        stages = ("logits",)

        def __init__(self, num_classes):
            super().__init__(num_classes)
            self.logits = self.make_head(keras.layers.Dense, num_classes)
            self.hidden = keras.layers.Dense(4, name="hidden")

        def call(self, x, training=False):
            return self.logits(self.hidden(x))

    with pytest.raises(ValueError, match="weights: hidden, logits. Received: logits."):
        Forgetful(2).build((None, 3))


@pytest.mark.parametrize(
    ("name", "recipe"), [("resnet", "tiny"), ("mobilenet_v2", "small")]
)
def test_frozen_statistics_keep_every_bit_while_the_rest_learns(name, recipe):
    """mobilenet_v2 folds such a normalization into its convolution."""
    input_shape, num_classes = size_for(name, recipe)
    made = create(name, recipe)
    frozen = type(made).from_config(made.get_config() | {"freeze_statistics": True})
    assert frozen.get_config()["freeze_statistics"]
    frozen.build((None, *input_shape))
    batch = examples(input_shape, num_classes)
    for layer in made._flatten_layers():
        if isinstance(layer, BatchNormalization):
            layer.momentum = 0.0
    made(batch[0], training=True)  # statistics that fit
    frozen.set_weights(made.get_weights())
    optimizer = keras.optimizers.SGD(0.01)
    frozen.compile(optimizer=optimizer, loss=made.loss, run_eagerly=True)
    np.testing.assert_array_equal(
        frozen(batch[0], training=True), frozen(batch[0], training=False)
    )
    frozen.train_on_batch(*batch)
    seen = set()
    for weight, before in zip(frozen.weights, made.weights, strict=True):
        kind = weight.path.rpartition("/")[2]
        seen.add(kind)
        moved = not np.array_equal(weight, before)
        assert moved != kind.startswith("moving_"), weight.path
    assert {"gamma", "beta", "moving_mean", "moving_variance"} < seen
