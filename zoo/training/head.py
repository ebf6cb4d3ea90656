"""The first stage of fine-tuning: the head, fitted on the features of the network.

The pretrained network computes the features of all training images once, as they are
and mirrored. The head is then a logistic regression, which has one optimum. A network
that is trained further from a random head would lose some of what it knows.

Reference: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution" (arXiv:2202.10054).
"""

from __future__ import annotations

import pathlib
import time

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from zoo import files
from zoo.errors import UserError
from zoo.models import build
from zoo.models.base import TapeModel
from zoo.training.job import Job
from zoo.training.signals import Stop

#: The inverse strength of the L2 penalty of scikit-learn's LogisticRegression, for
#: features of mean 0 and standard deviation 1. The best of 1e-3 to 3e-2 on photographs
#: of waste, and the fit takes a few seconds.
PENALTY = 0.01
_BLOCK = 128  # images whose features are kept in one file
_BATCH = 32
_ITERATIONS = 1000
_NEVER = -100.0  # the logit of a class without training images


def place(job: Job) -> pathlib.Path:
    """Returns the file with the fitted head."""
    return job.run.backup / "head.npz"


def fit(job: Job, model: TapeModel, stop: Stop) -> None:
    """Fits the head, and writes it into the backup of the run, unless that was done.

    The features are kept there too, so that a stopped run goes on where it was.

    Args:
        job: the training.
        model: the pretrained network with any head, on one device and in float32.
        stop: the signal that stops the work between two blocks of images.

    Raises:
        UserError: all images are of one class.
        Interrupted: a signal came.
    """
    path = place(job)
    if path.exists() or any(job.run.backup.glob("step-*.npz")):
        return
    began, labels = time.perf_counter(), job.dataset.train.y
    if len(np.unique(labels)) < 2:
        raise UserError(
            "There must be training images of two or more classes. Received: "
            f"{len(labels)} images of one class, in {job.source.used}."
        )
    job.run.backup.mkdir(exist_ok=True)
    features = _features(job, model, stop)
    labels = np.tile(labels, len(features) // len(labels))
    # In place, because the features may take most of the memory.
    mean, deviation = features.mean(axis=0), features.std()
    features -= mean
    features /= deviation
    weights = job.class_weights()
    kernel, bias = _regression(
        features,
        labels,
        None if weights is None else weights[labels],
        len(job.dataset.spec.class_names),
    )
    logits = np.concatenate(
        [
            features[i : i + _BLOCK] @ kernel + bias
            for i in range(0, len(labels), _BLOCK)
        ]
    )
    with files.replacing(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            kernel=kernel / deviation,
            bias=bias - mean @ kernel / deviation,
            loss=float(model.compute_loss(None, labels, logits)),
            accuracy=(logits.argmax(axis=1) == labels).mean(),
            seconds=time.perf_counter() - began,
        )
    for kept in job.run.backup.glob("features-*.npy"):
        kept.unlink()


def _regression(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    num_classes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 kernel (n, classes) and bias (classes,) of the optimal head.

    Args:
        features: float32 (examples, n).
        labels: class of each example.
        weights: weight of each example; None for equal weights.
        num_classes: number of classes. Those without examples are never predicted.
    """
    regression = LogisticRegression(C=PENALTY, max_iter=_ITERATIONS)
    regression.fit(features, labels, weights)
    found, shift = regression.coef_.T, regression.intercept_
    if found.shape[1] == 1:  # two classes share one line of numbers
        found, shift = np.hstack([-found, found]) / 2, np.hstack([-shift, shift]) / 2
    kernel = np.zeros((features.shape[1], num_classes), np.float32)
    bias = np.full(num_classes, _NEVER, np.float32)
    kernel[:, regression.classes_], bias[regression.classes_] = found, shift
    return kernel, bias


def take_over(job: Job, model: TapeModel) -> dict[str, float]:
    """Gives a model the fitted head; returns its loss, accuracy and seconds."""
    with np.load(place(job), allow_pickle=False) as content:
        head = model.get_layer(model.head_name)
        with model.distribute_strategy.scope():
            head.kernel.assign(content["kernel"])
            head.bias.assign(content["bias"])
        return {name: float(content[name]) for name in ("loss", "accuracy", "seconds")}


def _features(job: Job, model: TapeModel, stop: Stop) -> np.ndarray:
    """Returns float32 features (views * examples, n): first of the images as they are.

    Mirrored images are a second view if the recipe mirrors images.
    """
    shape, train = job.dataset.spec.input_shape, job.dataset.train
    count, views = len(train.y), 2 if job.recipe.augment.get("flip") else 1
    network = build.make_model(
        job.architecture, job.recipe, model, input_shape=shape, features=True
    )
    compiled = tf.function(network, reduce_retracing=True)
    bar = None
    if job.config.shown != "none":
        print(f"The pretrained network looks at {count:,} images, once.", flush=True)
    if job.config.shown == "bar":
        bar = keras.utils.Progbar(count, unit_name="image")
    features = np.zeros((0, 0), np.float32)
    for first in range(0, count, _BLOCK):
        done = min(first + _BLOCK, count)
        path = job.run.backup / f"features-{first:09d}.npy"
        if not path.exists():
            images = train.x[first:done]
            seen = [images, images[:, :, ::-1]][:views]
            parts = [
                [compiled(tf.constant(view[i : i + _BATCH])) for view in seen]
                for i in range(0, len(images), _BATCH)
            ]
            with files.replacing(path) as beside, beside.open("wb") as file:
                np.save(file, np.concatenate(parts, axis=1))
        block = np.load(path, allow_pickle=False)  # (views, images, n)
        if not first:
            features = np.empty((views * count, block.shape[-1]), np.float32)
        for view, rows in enumerate(block):
            features[view * count + first : view * count + done] = rows
        if bar:
            bar.update(done)
        if stop.signal:
            raise job.interrupted(stop.signal, f"the features of {done:,} images")
    return features
