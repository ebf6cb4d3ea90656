"""An exported file that keeps learning, in the runtime that a device has."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from zoo import startup
from zoo.errors import UserError

SIGNATURES = ("infer", "train", "weights", "restore", "reset")


class Learner:
    """``model_trainable.tflite`` in LiteRT: what an app does with it, in Python.

        learner = Learner("runs/mlp-mnist/export/tflite/model_trainable.tflite")
        learner.train(images, labels, learning_rate=0.01)
        np.savez("learned.npz", **learner.weights())

    What it has learned is gone with the object, unless its ``weights`` are kept.

    Args:
        path: of the file.
        threads: of the interpreter.

    Attributes:
        batch_size: examples that ``train`` takes, no more and no fewer.
        input_shape: (height, width, channels).

    Raises:
        UserError: not such a file.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1):
        self.path = pathlib.Path(path)
        try:
            with startup.quiet_stderr():
                self._interpreter = Interpreter(str(self.path), num_threads=threads)
                self._run = {
                    name: self._interpreter.get_signature_runner(name)
                    for name in SIGNATURES
                }
        except Exception as error:
            # The runtime raises what it pleases.
            raise UserError(
                f"A learner is a model_trainable.tflite, as --formats=tflite_trainable "
                f"writes it. Received: {self.path} ({error})."
            ) from None
        image = self._run["train"].get_input_details()["image"]
        self.batch_size, *self.input_shape = (int(size) for size in image["shape"])

    def infer(self, images: np.ndarray) -> np.ndarray:
        """Returns probabilities, float32 (n, classes).

        Args:
            images: raw pixels 0..255 (n, height, width, channels), of any number type.

        Raises:
            UserError: images of another shape.
        """
        images = self._images(images)
        details = self._run["infer"].get_output_details()["probabilities"]
        probabilities = np.zeros((len(images), details["shape"][1]), np.float32)
        for i, image in enumerate(images):
            answer = self._run["infer"](image=image[np.newaxis])
            probabilities[i] = answer["probabilities"][0]
        return probabilities

    def train(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float
    ) -> float:
        """Learns from one batch.

        Args:
            images: raw pixels 0..255 (batch_size, height, width, channels).
            labels: class indices (batch_size,).
            learning_rate: of this step.

        Returns:
            The mean cross-entropy before the step. NaN if a label is no class, or a
            pixel, the learning rate or anything that follows from them is not finite:
            then nothing was learned.

        Raises:
            UserError: arrays of other shapes, labels that are not whole numbers, or a
                learning rate that is not one number.
        """
        images, labels = self._images(images), np.asarray(labels)
        rate = np.asarray(learning_rate)
        if labels.dtype.kind not in "iu" or rate.dtype.kind not in "iuf" or rate.ndim:
            raise UserError(
                f"{self.path.name} learns from labels that are whole numbers, at a "
                f"learning rate that is one number. Received: labels of type "
                f"{labels.dtype}, learning rate {str(learning_rate)[:80]}."
            )
        if len(images) != self.batch_size or labels.shape != (self.batch_size,):
            raise UserError(
                f"{self.path.name} learns from {self.batch_size} images and as many "
                f"labels at a time. Received: {len(images)} images, labels of shape "
                f"{labels.shape}. Export with another --train_batch."
            )
        answer = self._run["train"](
            image=images,
            # What is no class must not become one by being cut to 32 bits.
            label=labels.clip(-1, 2**31 - 1).astype(np.int32),
            learning_rate=rate.astype(np.float32),
        )
        return float(answer["loss"])

    def weights(self) -> dict[str, np.ndarray]:
        """Returns every trainable parameter by name, float32."""
        return self._run["weights"]()

    def restore(self, weights: Mapping[str, np.ndarray]) -> bool:
        """Puts back what ``weights`` gave, with a momentum of zero.

        Returns:
            Whether it did.

        Raises:
            UserError: other names or shapes, or numbers that are not finite.
        """
        wanted = {
            name: tuple(details["shape"])
            for name, details in self._run["restore"].get_input_details().items()
        }
        given = checked_weights(weights, wanted, self.path.name)
        return bool(self._run["restore"](**given)["restored"])

    def reset(self) -> None:
        """Goes back to the weights that the file was shipped with."""
        self._run["reset"]()

    def _images(self, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        if images.dtype.kind not in "biuf":
            raise UserError(
                f"{self.path.name} takes pixels that are numbers. Received: "
                f"{images.dtype}."
            )
        if images.shape[1:] != tuple(self.input_shape):
            raise UserError(
                f"{self.path.name} takes images of shape (n, "
                f"{', '.join(map(str, self.input_shape))}). Received: {images.shape}."
            )
        return images.astype(np.float32)


def checked_weights(
    weights: Mapping[str, np.ndarray],
    wanted: Mapping[str, tuple[int, ...]],
    taker: str,
) -> dict[str, np.ndarray]:
    """Returns the weights in float32.

    Args:
        weights: arrays by name.
        wanted: their shapes by name.
        taker: who wants them, for messages.

    Raises:
        UserError: they have other names or shapes than are wanted, or are not finite.
    """
    if not isinstance(weights, Mapping):
        raise UserError(
            f"The weights of {taker} are arrays by name, as weights() gives them. "
            f"Received: {type(weights).__name__}."
        )
    given = {name: np.shape(value) for name, value in weights.items()}
    for name in sorted({*given, *wanted}):
        if given.get(name) != wanted.get(name):
            raise UserError(
                f"These are not the weights of {taker}: {name} must have the shape "
                f"{wanted.get(name, 'of nothing: it has no such name')}. Received: "
                f"{given.get(name, 'nothing')}."
            )
    checked = {}
    for name in wanted:
        value = np.asarray(weights[name])
        if value.dtype.kind not in "iuf":
            raise UserError(f"{name} must hold numbers. Received: {value.dtype}.")
        with np.errstate(over="ignore"):
            checked[name] = value.astype(np.float32)
        if not (finite := np.isfinite(checked[name])).all():
            raise UserError(
                f"{name} must hold finite numbers of float32. Received: "
                f"{value[~finite][0]}."
            )
    return checked
