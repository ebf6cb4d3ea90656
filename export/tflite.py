"""TFLite files with batch 1, named inputs and outputs, and only built-in operations.

Quantized files are calibrated on float32 pixels, which gives a uint8 input the scale 1
and the zero point 0: the quantized input is the raw pixel. The converter folds the
model's own rescaling into the first layer.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export.base import EXACT, Bound, Draft, ExportedFile, Format
from export.formats import TFLITE_FILES
from zoo.data.dataset import Split
from zoo.errors import RunError
from zoo.models.base import TapeModel
from zoo.runs.artifact import SIGNATURE

CALIBRATION_EXAMPLES = 500
#: Files with quantized activations, whose ranges are measured on examples.
CALIBRATED = ("int8", "int16x8")

FLOAT16 = Bound(max_abs_error=1e-2)
#: A loss of at most a tenth of a point of accuracy.
TENTH = Bound(accuracy_drop=0.1)
INT8 = Bound(accuracy_drop=0.3)


def _file(name: str, *about: Any, **options: Any) -> ExportedFile:
    return ExportedFile(name, f"tflite/model_{name}.tflite", *about, **options)


class TFLite(Format):
    """The files for phones and browsers, one per kind of quantization."""

    name = "tflite"
    # Name, purpose, bound, and the bound for a regression if it has such a file.
    files = (
        _file("float32", "browsers and comparisons", EXACT, EXACT),
        _file("float16", "GPUs, half the size", FLOAT16, FLOAT16),
        _file("dynamic", "CPUs, with float inputs", TENTH, FLOAT16),
        _file("int8", "phones and integer hardware", INT8, integer=True),
        # Kernels for 16-bit activations are slow: a whole test split takes minutes.
        _file("int16x8", "16-bit accelerators", TENTH, parallel=False, examples=1000),
    )

    def write(self, draft: Draft) -> None:
        """Writes the files.

        Raises:
            RunError: the model has an operation that is not built into TFLite.
        """
        calibration = calibration_inputs(draft.trained.dataset.train, draft.seed)
        with tempfile.TemporaryDirectory() as source:
            model, shape = draft.trained.model, draft.data["input_shape"]
            write_source(model, shape, draft.tensor_names, source)
            for file in self.files:
                path = draft.directory / file.path
                if draft.bound(file) is None:
                    reason = "a regression has no pixels to calibrate on"
                    draft.left_out[path.name] = reason
                    continue
                if file.name not in (draft.tflite_files or TFLITE_FILES):
                    draft.left_out[path.name] = "it was not asked for"
                    continue
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(convert(source, file.name, calibration))

    def details(self, draft: Draft, file: ExportedFile) -> tuple[dict, list[str]]:
        """Returns the description of the calibration data."""
        if file.name not in CALIBRATED:
            return {}, []
        examples = min(CALIBRATION_EXAMPLES, len(draft.trained.dataset.train.y))
        calibration = {"split": "train", "examples": examples, "seed": draft.seed}
        return {"calibration": calibration}, []


FORMAT = TFLite()


def calibration_inputs(train: Split, seed: int) -> np.ndarray:
    """Returns up to 500 training images as float32, chosen by the run's seed."""
    size = min(CALIBRATION_EXAMPLES, len(train.y))
    chosen = np.random.default_rng(seed).choice(len(train.y), size, replace=False)
    return train.x[np.sort(chosen)].astype(np.float32)


def answer(model: TapeModel, x: tf.Tensor) -> tf.Tensor:
    """Returns the output of a file: probabilities, or y for a regression."""
    y = tf.cast(model(x, training=False), tf.float32)
    return y if model.num_classes is None else tf.nn.softmax(y)


def write_source(
    model: TapeModel,
    input_shape: Sequence[int],
    tensor_names: tuple[str, str],
    directory: str,
) -> None:
    """Writes the SavedModel with batch 1 from which all files are converted.

    Args:
        model: the model.
        input_shape: (height, width, channels), or (1,) for a regression.
        tensor_names: names of the input and of the output.
        directory: where to write it.
    """
    name, output = tensor_names
    spec = tf.TensorSpec((1, *input_shape), tf.float32, name=name)
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE, lambda x: {output: answer(model, x)}, input_signature=[spec]
    )
    archive.write_out(directory, verbose=False)


def convert(source: str, name: str, calibration: np.ndarray) -> bytes:
    """Converts a SavedModel with batch 1 to the bytes of a TFLite file.

    Args:
        source: directory of the SavedModel.
        name: name of the file, such as ``int8``.
        calibration: float32 images (n, height, width, channels) for ``int8`` and
            ``int16x8``. An image with a pixel of 0 and one of 255 is added.
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
    converter = tf.lite.TFLiteConverter.from_saved_model(
        source, signature_keys=signatures
    )
    # Other settings admit operations that need the Flex delegate, but browsers and
    # LiteRT's Python package do not have it.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def run_converter(converter: tf.lite.TFLiteConverter, file: str) -> bytes:
    """Runs a converter.

    Raises:
        RunError: the conversion failed; the message names the unsupported operations.
    """
    try:
        with warnings.catch_warnings():
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
