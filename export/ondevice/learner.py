"""Trains the exported file that learns on a device, in LiteRT."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import numpy as np

from zoo import startup
from zoo.errors import UserError
from zoo.runs.artifact import Runner, check_batch, checked_weights


class Learner:
    """Runs ``model_trainable.tflite`` in LiteRT from Python, as an app would.

        learner = Learner("runs/mlp-mnist/export/tflite/model_trainable.tflite")
        learner.train(images, labels, learning_rate=0.01)
        np.savez("learned.npz", **learner.weights())

    The learned weights live as long as the object; store ``weights()`` to keep them.

    Args:
        path: path of the file.
        threads: number of threads of the interpreter.

    Attributes:
        batch_size: exact number of examples that ``train`` takes.
        input_shape: (height, width, channels).

    Raises:
        UserError: the file is not a ``model_trainable.tflite``.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1):
        self.path = pathlib.Path(path)
        try:
            with startup.quiet():
                self._infer = Runner(self.path, threads)
                signature = self._infer.interpreter.get_signature_runner
                self._train, self._weights = signature("train"), signature("weights")
                self._restore, self._reset = signature("restore"), signature("reset")
        except Exception as error:
            # LiteRT raises many kinds of errors.
            raise UserError(
                f"A learner is a model_trainable.tflite, as --formats=tflite_trainable "
                f"writes it. Received: {self.path} ({error})."
            ) from None
        shape = self._train.get_input_details()["image"]["shape"]
        self.batch_size, *self.input_shape = (int(size) for size in shape)

    def infer(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 probabilities (n, classes).

        Args:
            images: raw pixels 0..255 (n, height, width, channels), of any number type.

        Raises:
            UserError: the images have another shape.
        """
        return self._infer(check_batch(images, self.input_shape, self.path.name))

    def train(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float
    ) -> float:
        """Trains on one batch.

        Args:
            images: raw pixels 0..255 (batch_size, height, width, channels).
            labels: class indices (batch_size,).
            learning_rate: learning rate of this step.

        Returns:
            The mean cross-entropy before the step. It is NaN if a label is not a class,
            or if a pixel, the learning rate or a result is not finite; in that case the
            weights have not changed.

        Raises:
            UserError: an array has another shape, the labels are not whole numbers, or
                the learning rate is not a single number.
        """
        images = check_batch(images, self.input_shape, self.path.name)
        labels, rate = np.asarray(labels), np.asarray(learning_rate)
        numbers = labels.dtype.kind in "iu" and rate.dtype.kind in "iuf"
        batches = (len(images),) == labels.shape == (self.batch_size,)
        if not numbers or not batches or rate.ndim:
            raise UserError(
                f"{self.path.name} learns from {self.batch_size} images and as many "
                "whole labels at a time, at one learning rate. Received: "
                f"{len(images)} images, labels of shape {labels.shape} and type "
                f"{labels.dtype}, learning rate {str(learning_rate)[:80]}. Another "
                "number of images takes an export with another --train_batch."
            )
        answer = self._train(
            image=images.astype(np.float32),
            # Clipping keeps an invalid label from becoming a class in 32 bits.
            label=labels.clip(-1, 2**31 - 1).astype(np.int32),
            learning_rate=rate.astype(np.float32),
        )
        return float(answer["loss"])

    def weights(self) -> dict[str, np.ndarray]:
        """Returns the trainable parameters by name, as float32 arrays."""
        return self._weights()

    def restore(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Sets the weights and resets the momentum; returns whether that succeeded.

        Raises:
            UserError: names or shapes differ, or numbers are not finite.
        """
        wanted = {
            name: tuple(details["shape"].tolist())
            for name, details in self._restore.get_input_details().items()
        }
        given = checked_weights(weights, wanted, self.path.name)
        return bool(self._restore(**given)["restored"])

    def reset(self) -> None:
        """Goes back to the weights in the file."""
        self._reset()
