"""Predictor: what runs, pretrained weights and exported files have in common."""

from __future__ import annotations

import abc
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from zoo import console, startup
from zoo.data import decode, load
from zoo.data.dataset import Dataset, Split, dimensions
from zoo.data.source import UNRECORDED_RESIZE
from zoo.errors import UserError
from zoo.runs.scoring import score

#: How far an image's mean may be outside of the range of the training images' means.
FAR = 25
_BATCH = 100


class Predictor(abc.ABC):
    """Something that was opened with ``zoo.open`` and can predict."""

    #: Where it comes from, for messages.
    name: str
    #: Whether ``class_names`` are names, and not only the numbers of the classes.
    knows_names: bool = True

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example: (height, width, channels), or (1,)."""

    @property
    @abc.abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """One name per class; empty for a regression."""

    @property
    def brightness(self) -> Mapping[str, float] | None:
        """``Split.brightness`` of the training images, if it is known."""
        return None

    @property
    def resize(self) -> str:
        """How images of another size are resized, see ``decode.resize``."""
        return UNRECORDED_RESIZE

    @abc.abstractmethod
    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Answers examples of the model's own size.

        Args:
            inputs: uint8 images (n, height, width, channels), or float32 (n, 1).

        Returns:
            float32 probabilities (n, classes), or y (n, 1).
        """

    def test_split(self) -> Split:
        """Returns the test split of the dataset that it was trained on.

        Raises:
            UserError: the dataset is not known, is gone or has changed.
            RunError: the dataset cannot be read.
        """
        raise UserError(
            f"{self.name} lies in no run directory. Pass --dataset too: the dataset on "
            "whose test split it is evaluated."
        )

    def predict(
        self, images: Any, *, invert: bool = False, progress: bool = False
    ) -> np.ndarray:
        """Classifies images of any size.

        Warns of images that are much darker or lighter than the training images.

        Args:
            images: an array of uint8 images (n, height, width, channels), or a list of
                paths and of uint8 images (height, width, channels); or a single path.
                Files may be PNG, JPEG, BMP, GIF or WebP.
            invert: swap black and white.
            progress: show a progress bar.

        Returns:
            float32 probabilities (n, classes); the classes are those of
            ``class_names``.

        Raises:
            UserError: files do not decode, and the message names all of them; or the
                model is a regression.
        """
        if not self.class_names:
            raise UserError("A regression does not take images.")
        if isinstance(images, str | os.PathLike):
            images = [images]
        if isinstance(images, np.ndarray) and (
            images.ndim != 4 or images.dtype != np.uint8
        ):
            raise UserError(
                "An array of images is uint8 (n, height, width, channels), raw pixels "
                f"0..255. Received: {images.dtype} {images.shape}."
            )
        answers = [np.zeros((0, len(self.class_names)), np.float32)]
        problems: list[str] = []
        unusual: list[str] = []
        bar = keras.utils.Progbar(len(images), unit_name="image") if progress else None
        with ThreadPoolExecutor(startup.cpus()) as pool:
            for first in range(0, len(images), _BATCH):
                part = images[first : first + _BATCH]
                read: list[Any] = list(pool.map(self._read, part))
                problems += [text for text in read if isinstance(text, str)]
                if not problems:
                    batch = 255 - np.stack(read) if invert else np.stack(read)
                    answers.append(self._answer(batch))
                    unusual += self._unusual(batch, part, first)
                if bar:
                    bar.update(first + len(part))
        if problems:
            raise UserError(" ".join(dict.fromkeys(problems)))
        self._warn(unusual, len(images), invert)
        return np.concatenate(answers)

    def evaluate(self, dataset: str | None = None) -> dict[str, float]:
        """Scores it on a whole test split.

        Args:
            dataset: a dataset as train.py takes it; None for the one that it was
                trained on.

        Returns:
            ``examples`` and ``accuracy``, or for a regression ``examples`` and
            ``mean_squared_error``.

        Raises:
            UserError: the dataset has other images or classes, or see ``test_split``.
            RunError: the dataset cannot be read.
        """
        test = (
            self.read_dataset(dataset).test
            if dataset is not None
            else self.test_split()
        )
        return score(np.concatenate([self(part) for part in test.blocks()]), test)

    def read_dataset(self, name: str) -> Dataset:
        """Reads a dataset in the size of the model's images.

        Raises:
            UserError: its images or classes differ from those of the model.
            RunError: it is not on this machine and cannot be downloaded.
        """
        shape, classes = self.input_shape, self.class_names
        size = (shape[0], shape[1]) if len(shape) == 3 else None
        data = load.find(name).read(image_size=size, resize=self.resize)
        found = data.spec.class_names
        same = found == classes if self.knows_names else len(found) == len(classes)
        if data.spec.input_shape != shape or not same:
            raise UserError(
                f"{self.name} is for other images or classes. Received: {name}, "
                f"{_described(data.spec.input_shape, found)}. Allowed: "
                f"{_described(shape, classes)}."
            )
        return data

    def _read(self, image: Any) -> np.ndarray | str:
        """Returns an image in the model's size, or what is wrong with its file."""
        height, width, channels = self.input_shape
        if not isinstance(image, str | os.PathLike):
            pixels = np.asarray(image)
            if pixels.ndim != 3 or pixels.dtype != np.uint8:
                return (
                    "An image is a path or uint8 (height, width, channels). Received: "
                    f"{pixels.dtype} {pixels.shape}."
                )
        else:
            try:
                pixels = decode.read_image(image)
            except UserError as error:
                return f"{image} {error}."
        image = decode.to_channels(pixels, channels)
        return decode.resize(image, height, width, self.resize).numpy()

    def _answer(self, batch: np.ndarray) -> np.ndarray:
        try:
            answer = self(batch)
        except ValueError:
            answer = np.empty((0, 0))
        if answer.shape != (len(batch), len(self.class_names)):
            raise UserError(
                f"{self.name} does not turn images of {self.input_shape} into "
                f"{len(self.class_names)} classes, as the files beside it say. Were "
                "they edited?"
            )
        return answer

    def _unusual(
        self, batch: np.ndarray, images: Sequence[Any], first: int
    ) -> list[str]:
        """Names the images that are much darker or lighter than those of training."""
        if self.brightness is None:
            return []
        low, high = (self.brightness[key] for key in ("lowest", "highest"))
        means = batch.mean(axis=(1, 2, 3))
        return [
            str(image) if isinstance(image, str | os.PathLike) else f"image {number}"
            for number, (image, mean) in enumerate(
                zip(images, means, strict=True), start=first
            )
            if not low - FAR <= mean <= high + FAR
        ]

    def _warn(self, unusual: Sequence[str], count: int, invert: bool) -> None:
        if not unusual or self.brightness is None:
            return
        what = f"{unusual[0]} is" if count == 1 else f"{len(unusual)} of {count} images"
        if count > 1:
            what += f", such as {unusual[0]}, are"
        low, high = (self.brightness[key] for key in ("lowest", "highest"))
        hint = "leave out --invert" if invert else "pass --invert"
        console.warn(
            f"{what} much darker or lighter than the images that the model was trained "
            f"on (their means are {low:.0f} to {high:.0f} of 255): the answer may be "
            "wrong, even if its probability is high. If black and white are swapped, "
            f"{hint}."
        )


def _described(shape: Sequence[int], classes: Sequence[str]) -> str:
    names = ", ".join(classes[:20]) or "no classes"
    return f"images {dimensions(shape)} of {names}"
