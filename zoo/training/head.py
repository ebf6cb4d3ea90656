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
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from zoo import files
from zoo.models import build
from zoo.models.base import TapeModel
from zoo.training.job import Job
from zoo.training.signals import Stop

#: The inverse strength of the L2 penalty of scikit-learn's LogisticRegression, for
#: features of mean 0 and standard deviation 1. The best of 1e-3 to 3e-2 on photographs
#: of waste, and the fit takes a few seconds.
PENALTY = 0.01
_BLOCK = 512  # images whose features are kept in one file
_BATCH = 32
_ITERATIONS = 1000
_UNSEEN = -20.0  # logit of a class without examples, whose optimum is -infinity


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
        Interrupted: a signal came.
    """
    path = place(job)
    if path.exists() or any(job.run.backup.glob("step-*.npz")):
        return
    job.run.backup.mkdir(exist_ok=True)
    began, train = time.perf_counter(), job.dataset.train
    blocks = list(_features(job, model, stop))
    features = np.concatenate([block.reshape(-1, block.shape[-1]) for block in blocks])
    first = np.arange(0, len(train.y), _BLOCK)
    labels = np.concatenate(
        [
            np.tile(train.y[i : i + _BLOCK], len(block))
            for i, block in zip(first, blocks, strict=True)
        ]
    )
    num_classes = len(job.dataset.spec.class_names)
    kernel, bias = _regression(features, labels, num_classes, job.class_weights())
    logits = features @ kernel + bias
    with files.replacing(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            kernel=kernel,
            bias=bias,
            loss=float(model.compute_loss(None, labels, logits)),
            accuracy=(logits.argmax(axis=1) == labels).mean(),
            seconds=time.perf_counter() - began,
        )
    for kept in job.run.backup.glob("features-*.npy"):
        kept.unlink()


def _regression(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    class_weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 kernel (n, classes) and bias (classes,) of the optimal head."""
    mean, deviation = features.mean(axis=0), features.std()
    regression = LogisticRegression(C=PENALTY, max_iter=_ITERATIONS).fit(
        (features - mean) / deviation,
        labels,
        None if class_weights is None else class_weights[labels],
    )
    kernel, bias = regression.coef_.T / deviation, regression.intercept_
    if kernel.shape[1] == 1:  # two classes share one line of numbers
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
    seen = regression.classes_
    all_kernel = np.zeros((len(mean), num_classes), np.float32)
    all_bias = np.full(num_classes, _UNSEEN, np.float32)
    all_kernel[:, seen], all_bias[seen] = kernel, bias - mean @ kernel
    return all_kernel, all_bias


def take_over(job: Job, model: TapeModel) -> dict[str, float]:
    """Gives a model the fitted head; returns its loss, accuracy and seconds."""
    with np.load(place(job), allow_pickle=False) as content:
        head = model.get_layer(model.head_name)
        with model.distribute_strategy.scope():
            head.kernel.assign(content["kernel"])
            head.bias.assign(content["bias"])
        return {name: float(content[name]) for name in ("loss", "accuracy", "seconds")}


def _features(job: Job, model: TapeModel, stop: Stop) -> Iterator[np.ndarray]:
    """Yields float32 features (1 or 2, examples, n): mirrored ones are the second."""
    shape, train = job.dataset.spec.input_shape, job.dataset.train
    network = build.make_model(
        job.architecture, job.recipe, model, input_shape=shape, features=True
    )
    compiled = tf.function(network, reduce_retracing=True)
    bar = None
    if job.config.shown == "bar":
        print("Features of the pretrained network:", flush=True)
        bar = keras.utils.Progbar(len(train.y), unit_name="image")
    for first in range(0, len(train.y), _BLOCK):
        done = min(first + _BLOCK, len(train.y))
        path = job.run.backup / f"features-{first:09d}.npy"
        if not path.exists():
            images = train.x[first:done]
            views = [images]
            if job.recipe.augment.get("flip"):
                views.append(images[:, :, ::-1])
            parts = [
                [compiled(tf.constant(view[i : i + _BATCH])) for view in views]
                for i in range(0, len(images), _BATCH)
            ]
            with files.replacing(path) as beside, beside.open("wb") as file:
                np.save(file, np.concatenate(parts, axis=1))
        if bar:
            bar.update(done)
        if stop.signal:
            raise job.interrupted(stop.signal, f"the features of {done:,} images")
        yield np.load(path, allow_pickle=False)
