"""Tests the guard with losses and gradients that are not finite."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.models.guard import NonFiniteGuard
from zoo.training import trainer


def root_of_distance(y_true, y_pred):
    """A finite loss whose gradient is not finite if the prediction is exact."""
    return tf.sqrt(tf.abs(y_true - y_pred))


@pytest.fixture
def line():
    """A line at 0 that SGD with a learning rate of 0.1 fits to y."""
    model = zoo.create_model("linear", input_shape=(1,), num_classes=None)
    model.set_weights([np.zeros((1, 1), np.float32), np.zeros(1, np.float32)])
    return model


def losses(model, batches):
    """Returns the reported losses, step by step."""
    model.guard = NonFiniteGuard()
    seen = []
    history = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
    )
    model.fit(batches, shuffle=False, verbose=0, callbacks=[history])
    return seen


def batches(*targets):
    x, y = tf.zeros((len(targets), 1)), tf.constant(targets)[:, tf.newaxis]
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(1)


def test_a_gradient_is_found_while_its_loss_is_finite(line):
    # The line does not move; the third target is met exactly.
    line.compile(optimizer=keras.optimizers.SGD(0.0), loss=root_of_distance)
    first, second, *after = losses(line, batches(1.0, 4.0, 0.0, 1.0))
    assert (first, second) == (1.0, 1.5)
    assert np.isnan(after).all()
    seen = line.guard.seen()
    assert (seen.steps, seen.loss) == (3, 0.0)


def test_a_loss_is_found(line):
    line.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    first, *after = losses(line, batches(1.0, 1e30, 1.0))
    assert first == 1.0
    assert not np.isfinite(after).any()
    assert line.guard.seen().steps == 2
    assert not np.isfinite(line.guard.seen().loss)


@pytest.fixture
def mixed():
    with trainer.dtype_policy("mixed_float16"):
        return zoo.create_model(
            "mlp", input_shape=(8, 8, 1), num_classes=10, report_gradient_norm=True
        )


def images(count=64):
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (count, 8, 8, 1)).astype(np.float32)
    return x, draw.integers(0, 10, count)


def test_a_step_that_is_skipped_to_halve_the_loss_scale_is_not_bad(mixed):
    model = mixed
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**30
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, loss=model.loss)
    data = tf.data.Dataset.from_tensor_slices(images()).batch(4)
    assert np.isfinite(losses(model, data)).all()
    taken = int(optimizer.inner_optimizer.iterations)
    assert 0 < taken < 16  # float16 overflows in the first steps
    assert model.guard.seen().steps == 16
    # The norm is the mean over the steps that were not skipped.
    norm = model.get_metrics_result()["gradient_norm"]
    assert 0 < float(norm) < 100
    assert float(model.gradient_norm.count) == taken
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def test_a_loss_is_found_whatever_its_scale(mixed):
    model = mixed
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    x, y = images(12)
    x[4] = np.nan
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    first, *after = losses(model, data)
    assert np.isfinite(first)
    assert np.isnan(after).all()
    assert model.guard.seen().steps == 2
