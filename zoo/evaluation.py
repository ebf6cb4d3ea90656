"""Trained models again: loading them, asking them about images."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import registry, runtime
from zoo.data import images
from zoo.errors import UserError
from zoo.models.tape import TapeModel
from zoo.rundir import finished_run, read_json


def load_run(run_dir: str | os.PathLike[str]) -> TapeModel:
    """Returns the trained model of a finished run, compiled.

    Raises:
        UserError: not a run, not finished, or its model.keras is damaged.
    """
    run = finished_run(run_dir)
    registry.import_all()
    try:
        return keras.models.load_model(run.model, safe_mode=True)
    except FileNotFoundError:
        raise UserError(f"{run.model} is missing.") from None
    except Exception as error:
        # Keras raises whatever its zip, HDF5 and JSON readers raise.
        raise UserError(
            f"{run.model} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def read_image(path: str | os.PathLike[str], input_shape: Sequence[int]) -> np.ndarray:
    """Reads an image file of any size as the model wants it.

    Args:
        path: a PNG, JPEG, BMP or GIF file.
        input_shape: (height, width, channels).

    Returns:
        uint8 (height, width, channels).

    Raises:
        UserError: the file is missing or is not such an image.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        with runtime.quiet_stderr():
            return images.decode(tf.constant(content), *input_shape).numpy()
    except tf.errors.OpError:
        raise UserError(f"{path} is not a PNG, JPEG, BMP or GIF image.") from None


def predict_images(
    run_dir: str | os.PathLike[str], paths: Sequence[str]
) -> list[tuple[str, str, float]]:
    """Classifies image files with the model of a run.

    Returns:
        (path, class name, probability) for each file.

    Raises:
        UserError: the run or a file cannot be read, or the run is a regression.
    """
    run = finished_run(run_dir)
    spec: dict[str, Any] = read_json(run.config)["data"]
    if spec["num_classes"] is None:
        raise UserError(f"{run.path} is a regression; it does not take images.")
    batch = np.stack([read_image(path, spec["input_shape"]) for path in paths])
    probabilities = tf.nn.softmax(load_run(run_dir)(batch)).numpy()
    return [
        (path, spec["class_names"][row.argmax()], float(row.max()))
        for path, row in zip(paths, probabilities, strict=True)
    ]
