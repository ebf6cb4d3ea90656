"""TFLite files: batch 1, named input and output, built-in operations alone.

Quantized files are calibrated on float32 pixels, so that a uint8 input gets the scale 1
and the zero point 0: the quantized input is the raw pixel, and the converter folds the
model's own 1/255 into the first layer.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from export.base import EXACT, Bound, Draft, ExportedFile, Format
from zoo.artifact import SIGNATURE
from zoo.data.dataset import Split
from zoo.errors import RunError
from zoo.models.base import TapeModel

CALIBRATION_EXAMPLES = 500
#: Files whose activations are quantized too, for which they are measured on examples.
CALIBRATED = ("int8", "int16x8")

FLOAT16 = Bound(max_abs_error=1e-2)
#: A tenth of a point of accuracy.
TENTH = Bound(accuracy_drop=0.1)


def _file(name: str, *about: str | Bound, **options: bool) -> ExportedFile:
    return ExportedFile(name, f"tflite/model_{name}.tflite", *about, **options)


class TFLite(Format):
    """The files of phones and browsers, one for each kind of quantization."""

    name = "tflite"
    # Name, purpose, bound, and the bound for a regression if it can have the file.
    files = (
        _file("float32", "reference", EXACT, EXACT),
        _file("float16", "GPUs, half the size", FLOAT16, FLOAT16),
        _file("dynamic", "CPUs, a quarter of the size", TENTH, FLOAT16),
        _file("int8", "integer-only hardware", Bound(accuracy_drop=0.3), integer=True),
        _file("int16x8", "when int8 loses accuracy", TENTH, parallel=False),
    )

    def write(self, draft: Draft) -> None:
        """Writes the files; raises RunError for an operation that is not built in."""
        calibration = calibration_inputs(draft.trained.dataset.train, draft.seed)
        with tempfile.TemporaryDirectory() as source:
            write_source(draft, source)
            for file in self.files:
                path = draft.directory / file.path
                if draft.bound(file) is None:
                    reason = "a regression has no pixels to calibrate on"
                    draft.left_out[path.name] = reason
                    continue
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(convert(source, file.name, calibration))

    def details(self, draft: Draft, file: ExportedFile) -> tuple[dict, list[str]]:
        """Tells what a file was calibrated on."""
        if file.name not in CALIBRATED:
            return {}, []
        examples = min(CALIBRATION_EXAMPLES, len(draft.trained.dataset.train.y))
        calibration = {"split": "train", "examples": examples, "seed": draft.seed}
        return {"calibration": calibration}, []


FORMAT = TFLite()


def calibration_inputs(train: Split, seed: int) -> np.ndarray:
    """Chooses at most 500 training inputs by the run's seed, float32."""
    size = min(CALIBRATION_EXAMPLES, len(train.y))
    chosen = np.random.default_rng(seed).choice(len(train.y), size, replace=False)
    return train.x[np.sort(chosen)].astype(np.float32)


def answer(model: TapeModel, x: tf.Tensor) -> tf.Tensor:
    """Returns what a file gives: probabilities, or y."""
    y = tf.cast(model(x, training=False), tf.float32)
    return y if model.num_classes is None else tf.nn.softmax(y)


def write_source(draft: Draft, directory: str) -> None:
    """Writes the SavedModel of batch 1 that all files are converted from."""
    name, output = draft.tensor_names
    spec = tf.TensorSpec((1, *draft.data["input_shape"]), tf.float32, name=name)
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE,
        lambda x: {output: answer(draft.trained.model, x)},
        input_signature=[spec],
    )
    archive.write_out(directory, verbose=False)


def convert(source: str, name: str, calibration: np.ndarray) -> bytes:
    """Converts a SavedModel of batch 1 to the content of a file such as ``int8``.

    Args:
        source: its directory.
        name: that of the file.
        calibration: images, float32 (n, ...), for ``int8`` and ``int16x8``. One with
            a pixel at 0 and one at 255 is added to them.
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
            # Images that never reach black and white would stretch the input's scale.
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
    """Opens a SavedModel for conversion with built-in operations alone."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        source, signature_keys=signatures
    )
    # Said outright: other ways to convert let operations in that need the Flex
    # delegate, which neither a browser nor Python's runtime has.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def run_converter(converter: tf.lite.TFLiteConverter, file: str) -> bytes:
    """Converts, or raises a RunError that names the operation in the way."""
    try:
        with warnings.catch_warnings():
            # The converter calibrates with the interpreter that it deprecates.
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
            return converter.convert()
    except Exception as error:
        # ConverterError is not public; its text lists the operations.
        said = str(error)
        found = re.findall(r"'tf\.(\w+)' op is neither", said)
        found += re.findall(r"tf\.(\w+) ?[({]", said)
        found += re.findall(r"(?:Flex|Custom) ops?: ([\w, ]+)", said)
        culprits = ", ".join(sorted(set(found))) or " ".join(said.split())[:300]
        raise RunError(
            f"{file} cannot be converted with built-in operations: {culprits}."
        ) from error
