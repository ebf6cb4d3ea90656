"""Computes the scores and outputs of a model for a split, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.models.base import TapeModel


class Evaluator:
    """Scores a model as its ``evaluate`` does, and keeps the outputs of the same pass.

    Args:
        model: a compiled model on one device.
    """

    def __init__(self, model: TapeModel):
        self._model = model

        @tf.function(reduce_retracing=True, jit_compile=model.jit_compile or None)
        def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
            y_pred = model(x, training=False)
            loss = model._compute_loss(x=x, y=y, y_pred=y_pred, training=False)
            model._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
            model.compute_metrics(x, y, y_pred)
            return y_pred

        self._step = step

    def __call__(self, batches: tf.data.Dataset) -> tuple[dict[str, float], np.ndarray]:
        """Returns the loss and metrics by name, and the outputs like ``outputs``."""
        self._model.reset_metrics()
        said = [self._step(x, y) for x, y in batches]
        scores = self._model.get_metrics_result()
        scores.pop("gradient_norm", None)  # there are no gradients here
        scores = {name: float(value) for name, value in scores.items()}
        return scores, probabilities(self._model, tf.concat(said, axis=0))


def correct(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns whether the most probable class is the true one, bool (n,).

    Args:
        outputs: probabilities (n, classes).
        labels: true classes (n,).
    """
    return outputs.argmax(axis=1) == labels


def per_class(
    names: Sequence[str], labels: np.ndarray, outputs: np.ndarray
) -> dict[str, Any]:
    """Returns the recall of each class in the form of result.json.

    Args:
        names: names of the classes.
        labels: true classes (n,).
        outputs: probabilities (n, classes).

    Returns:
        ``test_per_class``: name, recall (None without examples) and number of examples
        of each class; and ``test_macro_recall``: the mean over classes with examples.
    """
    counts = np.bincount(labels, minlength=len(names))
    right = np.bincount(labels[correct(outputs, labels)], minlength=len(names))
    rows = [
        {"name": name, "recall": hits / count if count else None, "count": count}
        for name, hits, count in zip(
            names, right.tolist(), counts.tolist(), strict=True
        )
    ]
    recalls = [row["recall"] for row in rows if row["count"]]
    return {"test_per_class": rows, "test_macro_recall": sum(recalls) / len(recalls)}


def score(outputs: np.ndarray, test: Split) -> dict[str, float]:
    """Returns the scores of the outputs for a split, see ``Predictor.evaluate``."""
    result: dict[str, float] = {"examples": len(test.y)}
    if test.y.ndim == 2:  # numbers, not classes
        result["mean_squared_error"] = float(np.square(outputs - test.y).mean())
    else:
        result["accuracy"] = float(correct(outputs, test.y).mean())
    return result


def outputs(model: TapeModel, split: Split) -> np.ndarray:
    """Returns float32 probabilities (n, classes) for a split, or y (n, 1)."""
    said = model.predict(pipeline.evaluation_batches(split), verbose=0)
    return probabilities(model, said)


def probabilities(model: TapeModel, said: np.ndarray | tf.Tensor) -> np.ndarray:
    """Returns float32 probabilities (n, classes) for logits, or y (n, 1) unchanged."""
    return np.asarray(said if model.num_classes is None else tf.nn.softmax(said))
