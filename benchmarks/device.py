"""Compares the latency of the TFLite files with ONNX Runtime, on one thread.

Trains each model for an epoch, exports it, and converts the same network with the same
weights to ONNX in float32. Checks first that both give the same probabilities, then
measures single images in turns. Reports medians, and medians of the ratios within a
round.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import comparison, data, document
from benchmarks.comparison import interleaved, ratio
from zoo import startup

ROUNDS = 25
NEEDS = ("tf2onnx", "onnxruntime")
IMAGES = 100
_ONNX = "ONNX Runtime, float32"

Ask = Callable[[int], np.ndarray]


def measure(rounds: int) -> dict[str, Any]:
    """Returns the result of ``measure_run`` for each model after one epoch."""
    startup.start()
    import zoo

    images = data.mnist().test.x[:IMAGES]
    found = {}
    for name in zoo.list_models():
        with tempfile.TemporaryDirectory() as directory:
            command = ["train.py", f"--model={name}", "--epochs=1", "--export=tflite"]
            command += [f"--dataset={data.directory()}", f"--run_dir={directory}/run"]
            comparison.run_python(*command, stdout=subprocess.DEVNULL)
            found[name] = measure_run(pathlib.Path(directory) / "run", images, rounds)
    return {"rounds": rounds, "models": found}


def measure_run(run_dir: pathlib.Path, images: np.ndarray, rounds: int) -> dict:
    """Returns the latency and bytes of each file, and its ratio to ONNX Runtime's time.

    Args:
        run_dir: directory of a finished and exported run.
        images: uint8 (n, height, width, channels).
        rounds: number of rounds.
    """
    import zoo

    content = onnx_file(zoo.load_run(run_dir), images.shape[1:])
    sizes, asks = {_ONNX: len(content)}, {_ONNX: onnx_runtime(content, images)}
    for path in sorted((run_dir / "export" / "tflite").glob("model_*.tflite")):
        name = path.stem.removeprefix("model_")
        sizes[name], asks[name] = path.stat().st_size, lite_rt(path, images)
    expected, got = (
        np.concatenate([asks[name](i) for i in range(len(images))])
        for name in (_ONNX, "float32")
    )
    np.testing.assert_allclose(got, expected, atol=1e-4)
    works = {name: _turn(ask, len(images)) for name, ask in asks.items()}
    seconds = interleaved(works, rounds)
    return {
        name: {
            "ms": round(1000 * statistics.median(taken) / len(images), 4),
            "times_onnx": round(ratio(taken, seconds[_ONNX]), 3),
            "bytes": sizes[name],
        }
        for name, taken in seconds.items()
    }


def onnx_file(model: Any, shape: tuple[int, ...]) -> bytes:
    """Returns the model as an ONNX file, from raw pixels to probabilities."""
    import tensorflow as tf
    import tf2onnx

    @tf.function(input_signature=[tf.TensorSpec((1, *shape), tf.float32, name="image")])
    def probabilities(image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(model(image, training=False))

    converted, _ = tf2onnx.convert.from_function(
        probabilities, input_signature=probabilities.input_signature, opset=18
    )
    return converted.SerializeToString()


def onnx_runtime(content: bytes, images: np.ndarray) -> Ask:
    """Returns a function that runs ONNX Runtime on the i-th image, on one thread.

    The images are converted beforehand, as they are for LiteRT.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    inputs = [{"image": one[np.newaxis]} for one in images.astype(np.float32)]
    return lambda i: session.run(None, inputs[i])[0]


def lite_rt(path: pathlib.Path, images: np.ndarray) -> Ask:
    """Returns a function that runs LiteRT on the i-th image, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    with startup.quiet():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    (given,) = interpreter.get_output_details()
    inputs = [one[np.newaxis] for one in images.astype(taken["dtype"])]

    def ask(i: int) -> np.ndarray:
        interpreter.set_tensor(taken["index"], inputs[i])
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return ask


def _turn(ask: Ask, count: int) -> Callable[[], float]:
    def work() -> float:
        began = time.perf_counter()
        for i in range(count):
            ask(i)
        return time.perf_counter() - began

    return work


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    rows = [
        [
            model_name,
            name,
            f"{found['bytes']:,}",
            f"{found['ms']:.3f}",
            f"{found['times_onnx']:.2f}",
        ]
        for model_name, files in result["models"].items()
        for name, found in files.items()
    ]
    heads = ["model", "file", "bytes:", "ms, one thread:", "time / ONNX Runtime's:"]
    return document.table(heads, rows)
