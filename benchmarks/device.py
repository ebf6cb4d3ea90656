"""One image at a time on one thread: every TFLite file against ONNX Runtime.

    python -m benchmarks.device runs/mlp-mnist runs/convnet-mnist

The same network with the same weights, in float32, goes to ONNX by way of PyTorch;
what both answer is compared first. In turns; medians.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.turns import interleaved, ratio
from zoo import cli, runtime
from zoo.errors import UserError
from zoo.rundir import finished_run

ROUNDS = 15
IMAGES = 100


def measure(run_dir: str) -> dict[str, Any]:
    """Returns ms and bytes of every file, and times of ONNX Runtime's ms."""
    import zoo
    from zoo import artifact

    run = finished_run(run_dir)
    name = run.read_result()["model"]
    images = data.mnist().test.x[:IMAGES]
    session = onnx_session(name, zoo.load_run(run_dir).get_weights())
    pixels = images.astype(np.float32)
    (expected,) = session.run(None, {"image": pixels})
    works = {"ONNX Runtime": _turn(lambda x: session.run(None, {"image": x}), pixels)}
    sizes = {}
    for path in sorted((run.export / "tflite").glob("model_*.tflite")):
        loaded = artifact.load(path)
        if path.stem == "model_float32":
            np.testing.assert_allclose(loaded(images), _softmax(expected), atol=1e-4)
        works[path.stem] = _turn(loaded, images)
        sizes[path.stem] = path.stat().st_size
    seconds = interleaved(works, ROUNDS)
    return {
        "model": name,
        "files": {
            file: {
                "ms": round(1e3 * statistics.median(taken) / IMAGES, 4),
                "times_onnx": round(ratio(taken, seconds["ONNX Runtime"]), 3),
                "bytes": sizes.get(file),
            }
            for file, taken in seconds.items()
        },
    }


def onnx_session(name: str, weights: list[np.ndarray]) -> Any:
    """Returns ONNX Runtime's session, one thread, of a network with these weights."""
    import onnxruntime
    import torch

    from benchmarks.contestants.torch_fit import network

    if name not in ("mlp", "convnet"):
        raise UserError(f"There is no ONNX twin of {name}. Known: mlp, convnet.")
    net = network(name).eval()
    if name == "convnet":
        weights = list(weights)
        weights[0] = weights[0].transpose(3, 2, 0, 1)
        # Flattened as (height, width, channels) there, channels first here.
        hidden = weights[2].reshape(14, 14, 32, -1).transpose(2, 0, 1, 3)
        weights[2] = hidden.reshape(weights[2].shape)
    with torch.no_grad():
        for ours, theirs in zip(weights, net.parameters(), strict=True):
            value = ours.T if ours.ndim == 2 else ours
            theirs.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    class Raw(torch.nn.Module):
        def forward(self, image):
            return net(image.permute(0, 3, 1, 2) / 255.0)

    file = io.BytesIO()
    torch.onnx.export(
        *(Raw(), (torch.zeros(1, 28, 28, 1),), file),
        input_names=["image"],
        dynamic_axes={"image": {0: "n"}},
        dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )


def _turn(ask: Callable[[np.ndarray], Any], images: np.ndarray) -> Callable[[], float]:
    def work() -> float:
        began = time.perf_counter()
        for i in range(len(images)):
            ask(images[i : i + 1])
        return time.perf_counter() - began

    return work


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def main(argv: list[str]) -> None:
    """Measures the runs that are named."""
    runs = cli.parse_flags(argv, __doc__)
    if not runs:
        raise UserError("Name the finished and exported runs, as runs/mlp-mnist.")
    runtime.start()
    print(json.dumps([measure(run) for run in runs], indent=2))


if __name__ == "__main__":
    cli.main(main)
