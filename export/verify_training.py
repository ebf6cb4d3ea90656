"""Proof of the file that keeps learning: its steps are those of Keras."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export.formats import MOMENTUM
from zoo import files
from zoo.data.dataset import Split
from zoo.errors import RunError
from zoo.learner import Learner
from zoo.models.base import TapeModel

STEPS = 20
#: Small: a step that is too large makes rounding grow from step to step.
LEARNING_RATE = 0.001
#: Of any loss and any weight, against Keras.
MAX_ERROR = 1e-4
#: Of any weight, as a share of what the most changed one of its parameter has changed.
MAX_SHARE = 0.05
#: The bytes of the file, in those of its parameters and of the graph of the step.
MAX_SIZE = 1.5
GRAPH_BYTES = 32 * 1024
#: What another interpreter may answer with the same weights.
MAX_RESTORED_ERROR = 1e-6
# A process of its own that takes longer hangs.
_SECONDS = 600


def verify(
    model: TapeModel,
    path: pathlib.Path,
    train: Split,
    test: Split,
    *,
    device_optimizer: str,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """Trains the file and the Keras model side by side.

    The labels are moved on by one class: what a trained model knows already would
    hardly move it.

    Args:
        model: the trained model; it is left as it is.
        path: of the file.
        train: the run's training split, whose examples are chosen by the seed.
        test: its test split, for what the weights answer afterwards.
        device_optimizer: what the file was written with.
        seed: the run's.

    Returns:
        What ``training`` holds in export.json, and what is wrong, if anything.
    """
    learner = Learner(path)
    batch_size = learner.batch_size
    chosen = np.random.default_rng(seed).choice(len(train.y), (STEPS, batch_size))
    momentum = MOMENTUM if device_optimizer == "momentum" else 0.0
    twin = Frozen(model, train.x[:1])
    twin.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=momentum),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    loss_error = 0.0
    for rows in chosen:
        x, y = train.x[rows], (train.y[rows] + 1) % model.num_classes
        expected = twin.train_on_batch(x, y)
        twin.reset_metrics()
        loss_error = _worse(loss_error, learner.train(x, y, LEARNING_RATE) - expected)
    weights = learner.weights()
    weight_error = weight_change = share = 0.0
    for name, before, after in zip(
        model.parameter_names,
        model.trainable_weights,
        twin.model.trainable_weights,
        strict=True,
    ):
        error = _worse(0.0, weights[name] - after.numpy())
        change = _worse(0.0, after.numpy() - before.numpy())
        weight_error = max(weight_error, error)
        weight_change = max(weight_change, change)
        share = max(share, error / max(change, MAX_ERROR))
    answers = learner.infer(test.x[:100])
    restored, cost = _elsewhere(path, weights, test.x[:100], train, chosen[0])
    restored_error = _worse(0.0, restored - answers)
    parameter_bytes = sum(4 * weight.size for weight in weights.values())
    record = {
        "optimizer": device_optimizer,
        "batch_size": batch_size,
        "steps": STEPS,
        "learning_rate": LEARNING_RATE,
        "max_loss_error": loss_error,
        "max_weight_error": weight_error,
        "max_weight_change": weight_change,
        "max_error_share": share,
        "max_restored_error": restored_error,
        "parameter_bytes": parameter_bytes,
        **cost,
    }
    limits = {
        "max_loss_error": MAX_ERROR,
        "max_weight_error": MAX_ERROR,
        "max_error_share": MAX_SHARE,
        "max_restored_error": MAX_RESTORED_ERROR,
    }
    problems = [
        f"{key} is {record[key]:.3g}, allowed {limit:.3g}"
        for key, limit in limits.items()
        if not record[key] <= limit
    ]
    if not weight_change > 10 * MAX_ERROR:
        problems.append(f"{STEPS} steps changed no weight by more than the bounds")
    allowed = MAX_SIZE * parameter_bytes + GRAPH_BYTES
    if files.size(path) > allowed:
        problems.append(f"it has {files.size(path):,} bytes, allowed {allowed:,.0f}")
    return record, problems


def _worse(error: float, difference: np.ndarray) -> float:
    """Returns the larger error; for what is not finite, what JSON has as infinity."""
    largest = float(np.abs(difference).max())
    return max(error, largest if np.isfinite(largest) else 1e38)


class Frozen(TapeModel):
    """A copy of a model that trains as it infers: no dropout, frozen statistics."""

    def __init__(self, model: TapeModel, example: np.ndarray):
        super().__init__(model.num_classes, name="frozen")
        self.model = type(model).from_config(model.get_config())
        self.model(tf.constant(example))
        self.model.set_weights(model.get_weights())

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.model(image, training=False)


def _elsewhere(
    path: pathlib.Path,
    weights: dict[str, np.ndarray],
    images: np.ndarray,
    train: Split,
    rows: np.ndarray,
) -> tuple[np.ndarray, dict[str, float]]:
    """Restores the weights in a process of its own, and measures a step there.

    Returns:
        What the file answers to the images, and the costs.
    """
    with tempfile.TemporaryDirectory() as directory:
        exchange = pathlib.Path(directory)
        np.savez(exchange / "weights.npz", **weights)
        np.savez(exchange / "data.npz", images=images, x=train.x[rows], y=train.y[rows])
        root = str(pathlib.Path(__file__).parents[1])
        path_list = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        command = [
            sys.executable,
            "-m",
            "export.measure_training",
            str(path.absolute()),
        ]
        try:
            done = subprocess.run(
                [*command, str(exchange)],
                env=os.environ | {"PYTHONPATH": path_list},
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise RunError(
                f"{path.name} hangs in a process of its own: no answer in {_SECONDS} s."
            ) from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise RunError(f"{path.name} fails in a process of its own: {said[-1]}.")
        return np.load(exchange / "answers.npy"), json.loads(done.stdout)
