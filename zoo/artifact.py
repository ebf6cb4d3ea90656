"""An exported file in the runtime that its users have, behind one call."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from zoo import startup
from zoo.errors import UserError

#: The signature that every artifact has, but for the file that keeps learning.
SIGNATURE = "serving_default"
LEARNING_SIGNATURE = "infer"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output: name, dtype, shape and (scale, zero point) or None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    quantization: tuple[float, int] | None = None


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A loaded artifact: call it on inputs, get probabilities.

    Attributes:
        path: the file, or the SavedModel's directory.
        format: ``saved_model`` or ``tflite``.
        input: what the runtime takes.
        output: what the runtime gives.
        operations: sorted names of the operations; empty for a SavedModel.
        tensor_dtypes: sorted names of the dtypes of all tensors; likewise.
    """

    path: pathlib.Path
    format: str
    input: Tensor
    output: Tensor
    operations: tuple[str, ...]
    tensor_dtypes: tuple[str, ...]
    _run: Callable[[np.ndarray], np.ndarray]

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the artifact on a batch of any size.

        Args:
            inputs: uint8 images (n, height, width, channels), or float32 (n, 1);
                pixels of any other number type are rounded to whole ones.

        Returns:
            float32 probabilities (n, classes), or y (n, 1).

        Raises:
            UserError: inputs of another shape, not finite, or pixels out of 0..255.
        """
        inputs = np.asarray(inputs)
        expected, name = tuple(self.input.shape[1:]), self.path.name
        if inputs.ndim == 0 or inputs.shape[1:] != expected:
            raise UserError(
                f"{name} takes inputs of shape (n, {', '.join(map(str, expected))}). "
                f"Received: {inputs.shape}."
            )
        if inputs.dtype.kind not in "biuf" or not np.isfinite(inputs).all():
            raise UserError(f"{name} takes finite numbers. Received: {inputs.dtype}.")
        if len(inputs) == 0:
            return np.zeros((0, *self.output.shape[1:]), np.float32)
        if len(expected) == 3 and inputs.dtype != np.uint8:
            low, high = inputs.min(), inputs.max()
            if low < 0 or high > 255:
                raise UserError(
                    f"Pixels are raw, 0 to 255. Received: {low:g} to {high:g}."
                )
            inputs = np.rint(inputs).astype(np.uint8)
        return self._run(inputs)


def load(
    path: str | os.PathLike[str], *, threads: int = 1, workers: int = 1
) -> Artifact:
    """Loads a SavedModel directory or a TFLite file.

    Args:
        path: of the artifact.
        threads: of each TFLite interpreter.
        workers: TFLite interpreters that share the examples of a batch: the files
            are of batch 1.

    Returns:
        An Artifact.

    Raises:
        UserError: there is no such artifact, or its file is damaged.
    """
    path = pathlib.Path(path)
    if path.is_dir() and (path / "saved_model.pb").exists():
        return _load_saved_model(path)
    if path.is_file() and path.suffix == ".tflite":
        return _load_tflite(path, threads, workers)
    raise UserError(
        "An artifact is a SavedModel's directory, with saved_model.pb in it, or a "
        f".tflite file. Received: {path}."
    )


def _load_saved_model(path: pathlib.Path) -> Artifact:
    import tensorflow as tf

    try:
        with startup.quiet_stderr():
            loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures[SIGNATURE]
        (spec,) = serve.structured_input_signature[1].values()
        (name,) = {"probabilities", "y"} & set(serve.structured_outputs)
    except Exception as error:
        # Its readers raise OSError, OpError, KeyError, DecodeError and others.
        raise UserError(f"{path} cannot be loaded as a SavedModel: {error}") from error

    def run(inputs: np.ndarray) -> np.ndarray:
        assert loaded  # owns the variables: without a reference to it they are gone
        parts = np.array_split(inputs, -(-len(inputs) // 500))
        inputs = ({spec.name: tf.cast(part, spec.dtype)} for part in parts)
        return np.concatenate([serve(**part)[name].numpy() for part in inputs])

    output = serve.structured_outputs[name]
    return Artifact(
        path,
        "saved_model",
        Tensor(spec.name, spec.dtype.name, tuple(spec.shape)),
        Tensor(name, output.dtype.name, tuple(output.shape)),
        operations=(),
        tensor_dtypes=(),
        _run=run,
    )


def _load_tflite(path: pathlib.Path, threads: int, workers: int) -> Artifact:
    try:
        content = path.read_bytes()
        operations, dtypes = _inspect(content)
        with startup.quiet_stderr():
            runners = [_Runner(content, threads) for _ in range(workers)]
    except Exception as error:
        # The flatbuffer's reader and the runtime raise what they please.
        raise UserError(f"{path} cannot be loaded as a TFLite file: {error}") from error

    def run(inputs: np.ndarray) -> np.ndarray:
        if workers == 1:
            return runners[0](inputs)
        with ThreadPoolExecutor(workers) as pool:
            parts = np.array_split(inputs, workers)
            answers = pool.map(lambda runner, part: runner(part), runners, parts)
            return np.concatenate(list(answers))

    first = runners[0]
    return Artifact(path, "tflite", first.input, first.output, operations, dtypes, run)


class _Runner:
    """One interpreter of a file of batch 1."""

    def __init__(self, content: bytes, threads: int):
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        learning = LEARNING_SIGNATURE in self._interpreter.get_signature_list()
        signature = LEARNING_SIGNATURE if learning else SIGNATURE
        runner = self._interpreter.get_signature_runner(signature)
        # A file with one signature is asked without it, which costs less.
        self._signature = runner if learning else None
        ((self._in_name, self._in),) = runner.get_input_details().items()
        ((self._out_name, self._out),) = runner.get_output_details().items()
        self.input = _tensor(self._in_name, self._in)
        self.output = _tensor(self._out_name, self._out)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        outputs = np.zeros((len(inputs), *self._out["shape"][1:]), np.float32)
        for i, quantized in enumerate(self._quantize(inputs)):
            if self._signature is not None:
                answer = self._signature(**{self._in_name: quantized[np.newaxis]})
                outputs[i] = answer[self._out_name][0]
                continue
            self._interpreter.set_tensor(self._in["index"], quantized[np.newaxis])
            self._interpreter.invoke()
            outputs[i] = self._interpreter.get_tensor(self._out["index"])[0]
        if self.output.quantization:
            scale, zero_point = self.output.quantization
            outputs = (outputs - zero_point) * np.float32(scale)
        return outputs

    def _quantize(self, inputs: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self._in["dtype"])
        if self.input.quantization is None or inputs.dtype == dtype:
            return inputs.astype(dtype)
        scale, zero_point = self.input.quantization
        limits = np.iinfo(dtype)
        quantized = np.rint(inputs.astype(np.float32) / scale) + zero_point
        return quantized.clip(limits.min, limits.max).astype(dtype)


def _tensor(name: str, details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        name,
        np.dtype(details["dtype"]).name,
        tuple(int(size) for size in details["shape"]),
        (float(scale), int(zero_point)) if scale else None,
    )


def _inspect(content: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Reads operations and tensor dtypes off the file itself, before any delegate."""
    model = flatbuffer_utils.convert_bytearray_to_object(content)
    operations = {
        code.customCode.decode()
        if code.customCode
        else flatbuffer_utils.opcode_to_name(model, i)
        for i, code in enumerate(model.operatorCodes)
    }
    types = {tensor.type for graph in model.subgraphs for tensor in graph.tensors}
    dtypes = (flatbuffer_utils.type_to_name(kind).lower() for kind in types)
    return tuple(sorted(operations)), tuple(sorted(dtypes))
