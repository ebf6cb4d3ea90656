"""Compares the latency of the TFLite files with ONNX Runtime, on one thread.

    python -m benchmarks.device

Trains each model for an epoch, exports it, and converts the same network with the same
weights to ONNX in float32. Checks first that both give the same probabilities, then
measures single images in turns. Reports medians, and medians of the ratios within a
round.

Then compares the recipe tiny of resnet with MLPerf Tiny's network in stock Keras, both
with random weights, on images of 32x32x3.
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

from benchmarks import comparison, data, mlperf_tiny
from benchmarks.turns import interleaved, ratio
from zoo import startup

NEEDS = ("onnx", "onnxruntime")
IMAGES = 100
_ONNX = "ONNX Runtime, float32"
_TINY, _PEER = "resnet, recipe tiny", "MLPerf Tiny's ResNet-8"


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
    return {"rounds": rounds, "models": found, "tiny": measure_tiny(rounds)}


def measure_run(run_dir: pathlib.Path, images: np.ndarray, rounds: int) -> dict:
    """Returns the latency and bytes of each file, and its ratio to ONNX Runtime's time.

    Args:
        run_dir: directory of a finished and exported run.
        images: uint8 (n, height, width, channels).
        rounds: number of rounds.
    """
    import zoo

    files = sorted((run_dir / "export" / "tflite").glob("model_*.tflite"))
    content = onnx_file(zoo.load_run(run_dir))
    asks = {_ONNX: onnx_runtime(content, images)}
    asks |= {path.stem.removeprefix("model_"): lite_rt(path, images) for path in files}
    expected, got = (
        np.concatenate([ask(i) for i in range(len(images))])
        for ask in (asks[_ONNX], asks["float32"])
    )
    np.testing.assert_allclose(got, expected, atol=1e-4)
    works = {name: _turn(ask, len(images)) for name, ask in asks.items()}
    seconds = interleaved(works, rounds)
    sizes = {_ONNX: len(content)}
    sizes |= {p.stem.removeprefix("model_"): p.stat().st_size for p in files}
    return {
        name: {
            "ms": round(1000 * statistics.median(taken) / len(images), 4),
            "times_onnx": round(ratio(taken, seconds[_ONNX]), 3),
            "bytes": sizes[name],
        }
        for name, taken in seconds.items()
    }


def measure_tiny(rounds: int) -> dict[str, Any]:
    """Returns the weights and the latency of resnet's recipe tiny and of its peer.

    Args:
        rounds: number of rounds.

    Returns:
        For each network ``parameters``, and for its files float32 and int8 ``ms`` and
        ``times_peer``, the ratio to the time of the peer's file.
    """
    import zoo

    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), np.uint8)
    tiny = zoo.create_model(
        "resnet",
        input_shape=images.shape[1:],
        num_classes=10,
        recipe=zoo.get_recipe("resnet", "tiny"),
    )
    works, found = {}, {}
    with tempfile.TemporaryDirectory() as directory:
        for network, model in {_TINY: tiny, _PEER: mlperf_tiny.resnet8()}.items():
            found[network] = {"parameters": model.count_params()}
            for file in ("float32", "int8"):
                path = pathlib.Path(directory) / f"{len(works)}.tflite"
                path.write_bytes(_converted(model, file, images))
                works[network, file] = _turn(lite_rt(path, images), len(images))
        seconds = interleaved(works, rounds)
    for (network, file), taken in seconds.items():
        found[network][file] = {
            "ms": round(1000 * statistics.median(taken) / len(images), 4),
            "times_peer": round(ratio(taken, seconds[_PEER, file]), 3),
        }
    return found


def _converted(model: Any, file: str, images: np.ndarray) -> bytes:
    """Returns the bytes of a TFLite file of a model, calibrated on some images."""
    from export import tflite

    names = ("image", "probabilities")
    with tempfile.TemporaryDirectory() as source, startup.quiet():
        tflite.write_source(model, images.shape[1:], names, source)
        return tflite.convert(source, file, images.astype(np.float32))


def onnx_file(model: Any) -> bytes:
    """Returns the model as an ONNX file's bytes."""
    from benchmarks import onnx_twin

    return onnx_twin.convert(model).SerializeToString()


def onnx_runtime(content: bytes, images: np.ndarray) -> Callable[[int], np.ndarray]:
    """Returns a function that runs ONNX Runtime on the i-th image, on one thread.

    The images are converted beforehand, as they are for LiteRT.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    (name,) = (tensor.name for tensor in session.get_inputs())

    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    inputs = [{name: np.ascontiguousarray(one[np.newaxis])} for one in pixels]

    def ask(i: int) -> np.ndarray:
        return session.run(None, inputs[i])[0]

    return ask


def lite_rt(path: pathlib.Path, images: np.ndarray) -> Callable[[int], np.ndarray]:
    """Returns a function that runs LiteRT on the i-th image, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    with startup.quiet():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    (taken,), (given,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )

    inputs = [one[np.newaxis] for one in images.astype(taken["dtype"])]

    def ask(i: int) -> np.ndarray:
        interpreter.set_tensor(taken["index"], inputs[i])
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return ask


def _turn(ask: Callable[[int], np.ndarray], count: int) -> Callable[[], float]:
    def work() -> float:
        began = time.perf_counter()
        for i in range(count):
            ask(i)
        return time.perf_counter() - began

    return work


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown tables of a result."""
    lines = [
        "| model | file | bytes | ms, one thread | time / ONNX Runtime's |\n",
        "| --- | --- | ---: | ---: | ---: |\n",
    ]
    for model_name, files in result["models"].items():
        for name, found in files.items():
            lines.append(
                f"| {model_name} | {name} | {found['bytes']:,} | {found['ms']:.3f} | "
                f"{found['times_onnx']:.2f} |\n"
            )
    lines += [
        "\n| network, 32x32x3 | weights | file | ms, one thread | ms / ResNet-8's |\n",
        "| --- | ---: | --- | ---: | ---: |\n",
    ]
    for network, found in result["tiny"].items():
        for file in ("float32", "int8"):
            lines.append(
                f"| {network} | {found['parameters']:,} | {file} | "
                f"{found[file]['ms']:.3f} | {found[file]['times_peer']:.2f} |\n"
            )
    return "".join(lines)


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=25, needs=NEEDS)
