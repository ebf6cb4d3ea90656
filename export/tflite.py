"""TFLite files: batch 1, named input and output, built-in operations alone.

Quantized files are calibrated on float32 pixels, so that a uint8 input gets the scale 1
and the zero point 0: the quantized input is the raw pixel, and the converter folds the
model's own 1/255 into the first layer.
"""

from __future__ import annotations

import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export import signatures
from zoo.artifact import SIGNATURE
from zoo.data.dataset import Split
from zoo.errors import RunError
from zoo.models.base import TapeModel

CALIBRATION_EXAMPLES = 500

#: What each file is for, in the order of the model card.
PURPOSES = {
    "float32": "reference",
    "float16": "GPUs, half the size",
    "dynamic": "CPUs, a quarter of the size",
    "int8": "integer-only hardware",
    "int16x8": "when int8 loses accuracy",
}
#: Those that a regression can have: there are no pixels to calibrate on.
FOR_REGRESSION = ("float32", "float16", "dynamic")


def variants(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of the files that a run can have."""
    return tuple(PURPOSES) if signatures.is_classifier(data) else FOR_REGRESSION


def write(
    model: TapeModel,
    data: Mapping[str, Any],
    directory: pathlib.Path,
    calibration: np.ndarray,
) -> None:
    """Writes all the files that the run can have.

    Args:
        model: the trained model.
        data: the run's data, as config.json describes them.
        directory: where to write, there already.
        calibration: training inputs (n, ...), see ``calibration_inputs``. A pixel at 0
            and one at 255 are added to them.

    Raises:
        RunError: an operation that is not built in.
    """
    with tempfile.TemporaryDirectory() as source:
        _write_source(model, data, source)
        for variant in variants(data):
            path = directory / f"model_{variant}.tflite"
            path.write_bytes(convert(source, data, variant, calibration))


def write_labels(data: Mapping[str, Any], directory: pathlib.Path) -> None:
    """Writes labels.txt beside the files of a classifier."""
    if signatures.is_classifier(data):
        labels = "\n".join(data["class_names"]) + "\n"
        (directory / "labels.txt").write_text(labels, encoding="utf-8")


def calibration_inputs(train: Split, seed: int) -> np.ndarray:
    """Chooses training inputs by the run's seed: at most 500, float32."""
    size = min(CALIBRATION_EXAMPLES, len(train.y))
    chosen = np.random.default_rng(seed).choice(len(train.y), size, replace=False)
    return train.x[np.sort(chosen)].astype(np.float32)


def _write_source(model: TapeModel, data: Mapping[str, Any], directory: str) -> None:
    name, output = signatures.names(data)
    spec = tf.TensorSpec((1, *data["input_shape"]), tf.float32, name=name)
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE,
        lambda x: {output: signatures.reference(model, x)},
        input_signature=[spec],
    )
    archive.write_out(directory, verbose=False)


def convert(
    source: str, data: Mapping[str, Any], variant: str, calibration: np.ndarray
) -> bytes:
    """Converts a SavedModel of batch 1.

    Args:
        source: its directory.
        data: the run's data, as config.json describes them.
        variant: a name of ``PURPOSES``.
        calibration: float32 inputs (n, ...) for ``int8`` and ``int16x8``.

    Returns:
        The content of the file.

    Raises:
        RunError: an operation that is not built in.
    """
    name, _ = signatures.names(data)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        source, signature_keys=[SIGNATURE]
    )
    # Said outright: other ways to convert let operations in that need the Flex
    # delegate, which neither a browser nor Python's runtime has.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if variant != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant in ("int8", "int16x8"):

        def representative_dataset() -> Iterator[dict[str, np.ndarray]]:
            for example in calibration:
                yield {name: example[np.newaxis]}
            # Images that never reach black and white would stretch the input's scale.
            extremes = calibration[:1].copy()
            extremes.flat[:2] = 0.0, 255.0
            yield {name: extremes}

        converter.representative_dataset = representative_dataset
    if variant == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
    if variant == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return run(converter, f"model_{variant}.tflite")


def run(converter: tf.lite.TFLiteConverter, file: str) -> bytes:
    """Converts, or says which operation is in the way.

    Args:
        converter: with all its options set.
        file: the name of what is converted, for the message.

    Raises:
        RunError: an operation that is not built in.
    """
    try:
        with warnings.catch_warnings():
            # The converter calibrates with the interpreter that it deprecates.
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
            return converter.convert()
    except Exception as error:
        # ConverterError is not public; its text lists the operations.
        raise RunError(
            f"{file} cannot be converted with built-in operations: "
            f"{_culprits(str(error))}."
        ) from error


def _culprits(message: str) -> str:
    """Finds the operations that a converter's message complains of."""
    operations = re.findall(r"'tf\.(\w+)' op is neither|tf\.(\w+) ?[({]", message)
    names = [name for match in operations for name in match]
    names += re.findall(r"(?:Flex|Custom) ops?: ([\w, ]+)", message)
    found = {name for name in names if name}
    return ", ".join(sorted(found)) or " ".join(message.split())[:300]
