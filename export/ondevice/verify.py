"""Verifies that the trainable file trains as Keras does."""

from __future__ import annotations

import pathlib
import pickle
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export.formats import DEVICE_OPTIMIZERS
from export.ondevice.learner import Learner
from zoo import files
from zoo.errors import RunError
from zoo.models.base import TapeModel
from zoo.runs.run import Run

STEPS = 20
#: Small, because large steps amplify rounding errors from step to step.
LEARNING_RATE = 0.001
#: The largest difference of any loss and any weight from Keras.
MAX_ERROR = 1e-4
LIMITS = {
    "max_loss_error": MAX_ERROR,
    "max_weight_error": MAX_ERROR,
    # Relative to the largest change of a weight in the same parameter.
    "max_error_share": 0.05,
    # The difference between two interpreters with the same weights.
    "max_restored_error": 1e-6,
}
#: The file may have 1.5 times the bytes of its parameters, plus those of the graph. The
#: graph grows with the kernels: the gradient of a 3x3 kernel has about 40 operations.
MAX_SIZE = 1.5
GRAPH_BYTES = 32 * 1024
GRAPH_BYTES_OF_KERNEL = 10 * 1024
# The measuring process is considered hung after this time.
_SECONDS = 600


def verify(
    run: Run, path: pathlib.Path, device_optimizer: str
) -> tuple[dict[str, Any], list[str]]:
    """Trains the file and the Keras model side by side.

    Returns:
        What was measured, and a list of problems.

    The labels are shifted by one class, because true labels would hardly change the
    weights of a trained model.
    """
    model, train = run.model, run.dataset.train
    learner = Learner(path)
    chosen = np.random.default_rng(run.config["identity"]["seed"]).choice(
        len(train.y), (STEPS, learner.batch_size)
    )
    batches = [(train.x[r], (train.y[r] + 1) % model.num_classes) for r in chosen]
    momentum = DEVICE_OPTIMIZERS[device_optimizer]
    before = model.parameters(run.device_freeze)
    twin = Frozen(model, train.x[:1], LEARNING_RATE, momentum, run.device_freeze)
    after = twin.model.parameters()
    loss_errors = []
    for x, y in batches:
        expected = twin.train_on_batch(x, y)
        twin.reset_metrics()
        loss_errors.append(learner.train(x, y, LEARNING_RATE) - expected)
    weights, images = learner.weights(), run.dataset.test.x[:100]
    x, y = batches[0]
    cost = _measure_elsewhere(path, weights=weights, images=images, x=x, y=y)
    restored = cost.pop("answers")
    errors = [_largest(weights[name], after[name]) for name in before]
    changes = [_largest(before[name], after[name]) for name in before]
    shares = np.divide(errors, np.maximum(changes, MAX_ERROR))
    record = {
        "optimizer": device_optimizer,
        "batch_size": learner.batch_size,
        "steps": STEPS,
        "learning_rate": LEARNING_RATE,
        "max_loss_error": _largest(loss_errors, 0),
        "max_weight_error": max(errors),
        "max_weight_change": max(changes),
        "max_error_share": float(max(shares)),
        "max_restored_error": _largest(restored, learner.infer(images)),
        "parameter_bytes": 4 * model.count_params(),
        **cost,
    }
    problems = [
        f"{key} is {record[key]:.3g}, allowed {limit:.3g}"
        for key, limit in LIMITS.items()
        if not record[key] <= limit
    ]
    if not record["max_weight_change"] > 10 * MAX_ERROR:
        problems.append(f"{STEPS} steps changed no weight by more than the bounds")
    kernels = sum(len(weight.shape) > 1 for weight in model.weights)
    graph = max(GRAPH_BYTES, GRAPH_BYTES_OF_KERNEL * kernels)
    size, allowed = files.size(path), MAX_SIZE * record["parameter_bytes"] + graph
    if size > allowed:
        problems.append(f"it has {size:,} bytes, allowed {allowed:,.0f}")
    return record, problems


class Frozen(TapeModel):
    """A compiled copy of a classifier that trains in inference mode, without dropout.

    ``example`` are inputs to build the copy with (n, height, width, channels), and
    ``freeze`` is the stage from which it learns; None for that of the model.
    """

    stages = ("copy",)

    def __init__(
        self,
        model: TapeModel,
        example: np.ndarray,
        learning_rate: float,
        momentum: float = 0.0,
        freeze: str | None = None,
    ):
        super().__init__(model.num_classes, name="frozen")
        config = {"name": "copy", "freeze": freeze or model.freeze}
        self.model = type(model).from_config(model.get_config() | config)
        self.model(tf.constant(example))
        self.model.set_weights(model.get_weights())
        self.compile(
            optimizer=keras.optimizers.SGD(learning_rate, momentum=momentum),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.model(image, training=False)


def _largest(values: Any, others: Any) -> float:
    """Returns the largest difference, or 1e38 if it is not finite, for JSON."""
    largest = float(np.abs(np.asarray(values) - np.asarray(others)).max())
    return largest if np.isfinite(largest) else 1e38


def _measure_elsewhere(path: pathlib.Path, **given: Any) -> dict[str, Any]:
    """Restores the weights in a new process, and measures a step there."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "export.ondevice.measure", str(path.absolute())],
            cwd=pathlib.Path(__file__).parents[2],
            input=pickle.dumps(given),
            capture_output=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        reason = f"no answer in {_SECONDS} s"
    else:
        if done.returncode == 0:
            return pickle.loads(done.stdout)
        said = done.stderr.decode().strip().splitlines()
        reason = said[-1] if said else f"exit {done.returncode}"
    raise RunError(f"{path.name} fails in a new process: {reason}.")
