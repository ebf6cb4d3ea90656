"""Profiles a training step with TensorFlow's profiler.

    python -m benchmarks.contestants.step_profile resnet 128

Prints JSON: the milliseconds of a step in each kind of operation, and the GFLOP/s of
the convolutions. Operations that run at the same time on several cores all count, so
the milliseconds may add up to more than the duration of a step.
"""

from __future__ import annotations

import collections
import json
import pathlib
import sys
import tempfile
from typing import Any

from benchmarks.contestants import photo_fit

STEPS = 10
# Beginnings of the names of TensorFlow's kernels; oneDNN's kernels have a prefix.
KINDS = {
    "Conv2DBackpropFilter": "convolution, gradient of the kernel",
    "Conv2DBackpropInput": "convolution, gradient of the input",
    "Conv2D": "convolution, forward",
    "FusedConv2D": "convolution, forward",
    "FusedBatchNorm": "batch normalization",
    "Relu": "ReLU",
}
REST = "everything else"


def kind_of(event: str) -> str | None:
    """Returns the kind of operation of a profiled event; None if it is not a kernel.

    Args:
        event: name of the event, such as ``while/.../Conv2D:_MklNativeConv2D``.
    """
    path, _, operation = event.rpartition(":")
    if "/" not in path or " " in event:
        return None
    operation = operation.removeprefix("_MklNative").removeprefix("_")
    for beginning, kind in KINDS.items():
        if operation.startswith(beginning):
            return kind
    # These operations only run others.
    outer = operation in ("While", "If", "StatefulPartitionedCall", "PartitionedCall")
    return None if outer else REST


def convolution_flops(model: Any) -> float:
    """Returns the floating-point operations of the convolutions for one example.

    A training step has three: the forward pass and the gradients of kernel and input.
    """
    import keras
    import tensorflow as tf

    counted: list[float] = []

    def watch(layer: keras.layers.Conv2D) -> None:
        call = layer.call

        def counting(inputs: tf.Tensor) -> tf.Tensor:
            outputs = call(inputs)
            height, width = outputs.shape[1:3]
            forward = 2.0 * layer.kernel.shape.num_elements() * height * width
            # The first convolution needs no gradient of its input.
            counted.append((3 if counted else 2) * forward)
            return outputs

        layer.call = counting

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Conv2D):
            watch(layer)
    model(tf.zeros((1, 32, 32, 3)))
    return sum(counted)


def profile(model_name: str, batch_size: int) -> dict[str, Any]:
    """Trains a few steps with the profiler; returns the times and the GFLOP/s."""
    model, work = photo_fit.zoo_training(model_name, STEPS, batch_size)
    work()
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(directory)
        work()
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(directory).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    (plane,) = (plane for plane in space.planes if plane.name == "/host:CPU")
    spent: collections.Counter[str] = collections.Counter()
    for line in plane.lines:
        for event in line.events:
            kind = kind_of(plane.event_metadata[event.metadata_id].name)
            if kind:
                spent[kind] += event.duration_ps * 1e-9 / STEPS
    convolutions = sum(ms for kind, ms in spent.items() if "convolution" in kind)
    flops = convolution_flops(model) * batch_size
    return {"ms": dict(spent.most_common()), "gflops": 1e-6 * flops / convolutions}


if __name__ == "__main__":
    print(json.dumps(profile(sys.argv[1], int(sys.argv[2]))))
