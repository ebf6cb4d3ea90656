"""TFLite files with batch 1, named inputs and outputs, and only built-in operations.

Quantized files are calibrated on float32 pixels, which gives a uint8 input the scale 1
and the zero point 0: the quantized input is the raw pixel. The converter folds the
model's own rescaling into the first layer.
"""

from __future__ import annotations

import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export.formats import FORMATS, TFLITE_FILES
from zoo import registry, startup
from zoo.data.dataset import Split
from zoo.errors import RunError
from zoo.models.base import TapeModel
from zoo.runs.artifact import SIGNATURE
from zoo.runs.run import Run

CALIBRATION_EXAMPLES = 500
#: Files with quantized activations, whose ranges are measured on examples.
CALIBRATED = ("int8", "int16x8")


def export(
    run: Run, directory: pathlib.Path, *, tflite_files: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Writes the files of these names, one per kind of quantization.

    None stands for the files that the architecture names, which are all by default.
    """
    architecture = registry.get_architecture(run.config["identity"]["model"])
    asked = tflite_files or architecture.tflite_files or TFLITE_FILES
    train, seed = run.dataset.train, run.config["identity"]["seed"]
    calibration = calibration_inputs(train, seed)
    about = {"split": "train", "examples": len(calibration), "seed": seed}
    write_labels(run, directory / "tflite")
    written = {}
    with tempfile.TemporaryDirectory() as source:
        write_source(run.model, run.config["data"]["input_shape"], source)
        for file in FORMATS["tflite"].files:
            if file.name in asked and file.suits(run):
                content = convert(source, file.name, calibration)
                (directory / file.path).write_bytes(content)
                calibrated = file.name in CALIBRATED
                written[file.name] = {"calibration": about} if calibrated else {}
    return written


def write_labels(run: Run, folder: pathlib.Path) -> None:
    """Creates the folder of TFLite files, with the names of the classes."""
    folder.mkdir(exist_ok=True)
    if names := run.config["data"]["class_names"]:
        text = "".join(f"{name}\n" for name in names)
        (folder / "labels.txt").write_text(text, encoding="utf-8")


def calibration_inputs(train: Split, seed: int) -> np.ndarray:
    """Returns up to 500 training images as float32, chosen by the run's seed."""
    size = min(CALIBRATION_EXAMPLES, len(train.y))
    chosen = np.random.default_rng(seed).choice(len(train.y), size, replace=False)
    return train.x[np.sort(chosen)].astype(np.float32)


def tensor_names(model: TapeModel) -> tuple[str, str]:
    """Returns the names of a file's input and output."""
    return ("x", "y") if model.num_classes is None else ("image", "probabilities")


def answer(model: TapeModel, x: tf.Tensor) -> tf.Tensor:
    """Returns the output of a file: probabilities, or y for a regression."""
    y = tf.cast(model(x, training=False), tf.float32)
    return y if model.num_classes is None else tf.nn.softmax(y)


def write_source(model: TapeModel, input_shape: Sequence[int], directory: str) -> None:
    """Writes the SavedModel with batch 1 from which all files are converted."""
    name, output = tensor_names(model)
    spec = tf.TensorSpec((1, *input_shape), tf.float32, name=name)
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE, lambda x: {output: answer(model, x)}, input_signature=[spec]
    )
    archive.write_out(directory, verbose=False)


def convert(source: str, name: str, calibration: np.ndarray) -> bytes:
    """Converts a SavedModel with batch 1 to the file of this name, such as ``int8``.

    The files in ``CALIBRATED`` need float32 images (n, height, width, channels).
    """
    converter = open_converter(source, [SIGNATURE])
    if name != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if name in CALIBRATED:

        def representative_dataset() -> Iterator[dict[str, np.ndarray]]:
            for example in calibration:
                yield {"image": example[np.newaxis]}
            # Without black and white pixels, the scale of the input would not be 1.
            extremes = calibration[:1].copy()
            extremes.flat[:2] = 0.0, 255.0
            yield {"image": extremes}

        converter.representative_dataset = representative_dataset
    if name == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
    if name == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return run_converter(converter, f"model_{name}.tflite")


def open_converter(source: str, signatures: list[str]) -> tf.lite.TFLiteConverter:
    """Opens a SavedModel for a conversion to built-in operations."""
    with startup.quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            source, signature_keys=signatures
        )
    # Other settings admit operations that need the Flex delegate, but browsers and
    # LiteRT's Python package do not have it.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def run_converter(converter: tf.lite.TFLiteConverter, file: str) -> bytes:
    """Runs a converter; raises RunError with the operations that are not built in."""
    try:
        with startup.quiet(), warnings.catch_warnings():
            # The converter itself calibrates with the deprecated interpreter.
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
            return converter.convert()
    except Exception as error:
        # ConverterError is not public, but its text lists the operations.
        said = str(error)
        found = re.findall(r"'tf\.(\w+)' op is neither", said)
        found += re.findall(r"tf\.(\w+) ?[({]", said)
        found += re.findall(r"(?:Flex|Custom) ops?: ([\w, ]+)", said)
        culprits = ", ".join(sorted(set(found))) or " ".join(said.split())[:300]
        raise RunError(
            f"{file} cannot be converted to built-in operations: {culprits}."
        ) from error
