"""Loads any exported file in its own runtime, as a function."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from zoo import startup
from zoo.errors import UserError

#: The signature of every artifact except the file that keeps learning.
SIGNATURE = "serving_default"
LEARNING_SIGNATURE = "infer"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output: name, dtype, shape, and (scale, zero point) or None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    quantization: tuple[float, int] | None = None

    def __str__(self) -> str:
        """Returns text such as ``image uint8 (1, 28, 28, 1)``; None is any size."""
        return f"{self.name} {self.dtype} {self.shape}"

    @property
    def example_shape(self) -> tuple[int, ...]:
        """The shape of one example. Only the size of the batch may be unknown."""
        return tuple(size for size in self.shape[1:] if size is not None)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A loaded artifact: a function from inputs to probabilities.

    Attributes:
        path: the file, or the SavedModel's directory.
        format: ``saved_model`` or ``tflite``.
        input: the input that the runtime reports.
        output: the output that the runtime reports.
        operations: sorted names of the operations; empty for a SavedModel.
        tensor_dtypes: sorted dtypes of all tensors; empty for a SavedModel.
    """

    path: pathlib.Path
    format: str
    input: Tensor
    output: Tensor
    _run: Callable[[np.ndarray], np.ndarray]
    operations: tuple[str, ...] = ()
    tensor_dtypes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Shows the path, the input and the output."""
        return f"Artifact('{self.path}', {self.input} -> {self.output})"

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the artifact on a batch of any size.

        Args:
            inputs: uint8 images (n, height, width, channels), or float32 (n, 1).
                Pixels of other types are rounded to whole numbers.

        Returns:
            float32 probabilities (n, classes), or y (n, 1).

        Raises:
            UserError: inputs have another shape or are not finite, or pixels are
                outside of 0..255.
        """
        inputs = check_batch(inputs, self.input.example_shape, self.path.name)
        if not np.isfinite(inputs).all():
            raise UserError(f"{self.path.name} takes finite numbers. Received: others.")
        if len(inputs) == 0:
            return np.zeros((0, *self.output.example_shape), np.float32)
        if inputs.ndim == 4 and inputs.dtype != np.uint8:
            low, high = inputs.min(), inputs.max()
            if low < 0 or high > 255:
                received = f"{low:g} to {high:g}"
                raise UserError(f"Pixels are raw, 0 to 255. Received: {received}.")
            inputs = np.rint(inputs).astype(np.uint8)
        return self._run(inputs)


def load(
    path: str | os.PathLike[str], *, threads: int = 1, workers: int = 1
) -> Artifact:
    """Loads a SavedModel directory or a TFLite file.

    Args:
        path: the artifact.
        threads: number of threads of each TFLite interpreter.
        workers: number of TFLite interpreters, which share the examples of a batch,
            since each takes one example at a time.

    Raises:
        UserError: there is no such artifact, or its file is damaged.
    """
    path = pathlib.Path(path)
    # For names that are too long, pathlib raises before Python 3.12; os.path does not.
    if not os.path.exists(path):  # noqa: PTH110
        raise UserError(f"There is no exported file {path}.{_there(path)}")
    is_saved_model = path.is_dir() and (path / "saved_model.pb").exists()
    if not is_saved_model and not (path.is_file() and path.suffix == ".tflite"):
        raise UserError(
            "An artifact is a SavedModel's directory, with saved_model.pb in it, or a "
            f".tflite file. Received: {path}."
        )
    try:
        with startup.quiet():
            if is_saved_model:
                return _load_saved_model(path)
            return _load_tflite(path, threads, workers)
    except Exception as error:
        # Readers and runtimes raise many kinds of errors, such as OSError and OpError.
        kind = "SavedModel" if is_saved_model else "TFLite file"
        raise UserError(f"{path} cannot be loaded as a {kind}: {error}") from error


def _there(path: pathlib.Path) -> str:
    """Returns a sentence about the nearest existing directory above a path."""
    with contextlib.suppress(OSError):
        place = next(p for p in path.absolute().parents if p.is_dir())
        names = sorted(entry.name for entry in place.iterdir())
        shown = [name for name in names if name[0] != "."][:20]
        return f" In {place} are: {', '.join(shown) or 'no files'}."
    return ""


def _load_saved_model(path: pathlib.Path) -> Artifact:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures[SIGNATURE]
    (spec,) = serve.structured_input_signature[1].values()
    (name,) = {"probabilities", "y"} & set(serve.structured_outputs)
    output = serve.structured_outputs[name]

    def run(inputs: np.ndarray) -> np.ndarray:
        assert loaded  # keeps the variables alive
        parts = np.array_split(inputs, -(-len(inputs) // 500))
        asked = ({spec.name: tf.cast(part, spec.dtype)} for part in parts)
        return np.concatenate([serve(**part)[name].numpy() for part in asked])

    return Artifact(
        path,
        "saved_model",
        Tensor(spec.name, spec.dtype.name, tuple(spec.shape)),
        Tensor(name, output.dtype.name, tuple(output.shape)),
        run,
    )


def _load_tflite(path: pathlib.Path, threads: int, workers: int) -> Artifact:
    # From the file itself, since a delegate may rewrite the graph.
    model = flatbuffer_utils.convert_bytearray_to_object(path.read_bytes())
    operations = {
        code.customCode.decode()
        if code.customCode
        else flatbuffer_utils.opcode_to_name(model, i)
        for i, code in enumerate(model.operatorCodes)
    }
    types = {tensor.type for graph in model.subgraphs for tensor in graph.tensors}
    dtypes = (flatbuffer_utils.type_to_name(kind).lower() for kind in types)
    runners = [Runner(path, threads) for _ in range(workers)]

    def run(inputs: np.ndarray) -> np.ndarray:
        if workers == 1:
            return runners[0](inputs)
        with ThreadPoolExecutor(workers) as pool:
            parts = np.array_split(inputs, workers)
            answers = pool.map(lambda runner, part: runner(part), runners, parts)
            return np.concatenate(list(answers))

    inspected = tuple(sorted(operations)), tuple(sorted(dtypes))
    return Artifact(
        path, "tflite", runners[0].input, runners[0].output, run, *inspected
    )


class Runner:
    """An interpreter of a TFLite file of batch size 1, for batches of any size."""

    def __init__(self, path: pathlib.Path, threads: int):
        self.interpreter = Interpreter(str(path), num_threads=threads)
        self.interpreter.allocate_tensors()
        learns = LEARNING_SIGNATURE in self.interpreter.get_signature_list()
        signature = LEARNING_SIGNATURE if learns else SIGNATURE
        runner = self.interpreter.get_signature_runner(signature)
        # A file with a single signature is faster without a signature runner.
        self._signature = runner if learns else None
        ((name, self._in),) = runner.get_input_details().items()
        self.input = _tensor(name, self._in)
        ((name, self._out),) = runner.get_output_details().items()
        self.output = _tensor(name, self._out)

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        if self.input.quantization and inputs.dtype != self.input.dtype:
            scale, zero_point = self.input.quantization
            limits = np.iinfo(self.input.dtype)
            inputs = np.rint(inputs.astype(np.float32) / scale) + zero_point
            inputs = inputs.clip(limits.min, limits.max)
        outputs = np.zeros((len(inputs), *self.output.example_shape), np.float32)
        for i, example in enumerate(inputs.astype(self.input.dtype)):
            if self._signature:
                answer = self._signature(**{self.input.name: example[np.newaxis]})
                outputs[i] = answer[self.output.name][0]
            else:
                self.interpreter.set_tensor(self._in["index"], example[np.newaxis])
                self.interpreter.invoke()
                outputs[i] = self.interpreter.get_tensor(self._out["index"])[0]
        if self.output.quantization:
            scale, zero_point = self.output.quantization
            outputs = (outputs - zero_point) * np.float32(scale)
        return outputs


def _tensor(name: str, details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        name,
        np.dtype(details["dtype"]).name,
        tuple(int(size) for size in details["shape"]),
        (float(scale), int(zero_point)) if scale else None,
    )


def check_batch(inputs: Any, shape: Sequence[int], file: str) -> np.ndarray:
    """Returns inputs as an array of numbers (n, *shape); raises UserError otherwise.

    ``file`` is the name of the file that takes them, for the message.
    """
    inputs = np.asarray(inputs)
    if inputs.ndim == 0 or inputs.shape[1:] != tuple(shape):
        raise UserError(
            f"{file} takes inputs of shape (n, {', '.join(map(str, shape))}). "
            f"Received: {inputs.shape}."
        )
    if inputs.dtype.kind not in "biuf":
        raise UserError(f"{file} takes finite numbers. Received: {inputs.dtype}.")
    return inputs


def checked_weights(
    weights: Mapping[str, np.ndarray], wanted: Mapping[str, Sequence[int]], taker: str
) -> dict[str, np.ndarray]:
    """Returns arrays by name in float32.

    Args:
        weights: the arrays.
        wanted: their shapes by name.
        taker: name of the receiver for messages.
    """
    checked = {}
    for name in sorted({*weights, *wanted}):
        shape = np.shape(weights[name]) if name in weights else "nothing"
        if name not in wanted or shape != tuple(wanted[name]):
            raise UserError(
                f"These are not the weights of {taker}: {name} must have the shape "
                f"{wanted.get(name, 'of nothing: it has no such name')}. Received: "
                f"{shape}."
            )
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
