"""Compares the training speed of networks for phones with that of torchvision.

fit trains mobilenet_v2 and efficientnet_lite on random images of 160x160x3: once with
the statistics of each batch, as from scratch, and once with frozen statistics, as in
fine-tuning. PyTorch trains torchvision's MobileNetV2 in both memory layouts. All have
SGD with Nesterov momentum, train all layers, use all cores and augment nothing. They
take turns, each in its own process; the first round is not counted.

PyTorch and torchvision may have an environment of their own: $TORCH_PYTHON names its
interpreter. Then a step of fine-tuning is profiled by TensorFlow's operations. Finally
the networks are converted to TFLite, which gives sizes and latencies of their files.
No network has pretrained weights, which change neither.
"""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

from benchmarks import document
from benchmarks.comparison import contestant, interleaved, ratio

ROUNDS = 5
DATA = ()
STEPS = 10  # of a round
BATCH = 32
SIDE = 160
MODELS = ("mobilenet_v2", "efficientnet_lite")
#: The model that torchvision has too, and the one whose step is profiled.
SHARED, PROFILED = MODELS
ZOO = {"zoo, from scratch": "batch", "zoo, fine-tuning": "frozen"}
TORCH = {"PyTorch, nchw": "nchw", "PyTorch, channels last": "channels_last"}
#: Networks whose files are measured, by architecture and recipe, and their image sizes.
PHONES = {
    ("efficientnet_lite", "default"): 160,
    ("mobilenet_v2", "default"): 160,
    ("mobilenet_v2", "small"): 96,
}
FILES = ("float32", "int8")
#: Kinds of operations with less than this share of the time are summed up.
SMALLEST = 0.01
# Operations that run others or wait for them.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "While", "IteratorGetNext")


def torch_python() -> str | None:
    """Returns the interpreter with torchvision; None, with a line, if there is none."""
    python = os.environ.get("TORCH_PYTHON") or sys.executable
    command = [python, "-c", "import torchvision"]
    with contextlib.suppress(OSError):
        if not subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            return python
    print(
        f"PyTorch is left out, because {python} cannot import torchvision. Set "
        "TORCH_PYTHON to an interpreter that can.",
        file=sys.stderr,
    )
    return None


def measure_model(name: str, rounds: int, python: str | None) -> dict[str, Any]:
    """Returns the examples/s of each contestant, and the zoo's speed relative to it."""
    work = (STEPS, BATCH, SIDE)
    with contextlib.ExitStack() as stack:
        started = {
            who: stack.enter_context(
                contestant("benchmarks.contestants.mobile_zoo", name, *work, variant)
            )
            for who, variant in ZOO.items()
        }
        for who, layout in TORCH.items() if python and name == SHARED else ():
            started[who] = stack.enter_context(
                contestant(
                    "benchmarks.contestants.mobile_torch", *work, layout, python=python
                )
            )
        seconds = interleaved(started, rounds)
    ours = seconds[next(iter(ZOO))]
    return {
        "examples_per_second": {
            who: round(BATCH * STEPS / statistics.median(taken), 1)
            for who, taken in seconds.items()
        },
        "zoo_times_as_fast": {
            who: round(ratio(taken, ours), 3)
            for who, taken in seconds.items()
            if who in TORCH
        },
    }


def profile() -> dict[str, float]:
    """Returns the share of each kind of operation in a step of fine-tuning."""
    from benchmarks.contestants import mobile_zoo

    steps = 2
    work = mobile_zoo.prepare(PROFILED, str(steps), str(BATCH), str(SIDE), "frozen")
    work()  # compiles
    import tensorflow as tf

    # Importable only after TensorFlow.
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as directory:
        with tf.profiler.experimental.Profile(directory):
            work()
        (path,) = pathlib.Path(directory).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    return shares(
        (plane.event_metadata[event.metadata_id].name, event.duration_ps)
        for plane in space.planes
        for line in plane.lines
        for event in line.events
    )


def shares(events: Iterable[tuple[str, int]]) -> dict[str, float]:
    """Returns the share of each kind of operation, the largest first.

    Args:
        events: names and durations. The name of an operation is ``node:Kind``.
    """
    taken: collections.Counter[str] = collections.Counter()
    for name, duration in events:
        found = re.fullmatch(r"[^: ]+:(\w+)", name)
        if found and found[1] not in _CALLS:
            taken[found[1]] += duration
    whole = taken.total()
    return {kind: round(time / whole, 4) for kind, time in taken.most_common()}


def phone_files() -> list[dict[str, Any]]:
    """Returns bytes and milliseconds on one thread of TFLite files for ten classes."""
    import numpy as np

    import zoo
    from export import tflite, verify
    from zoo.runs import artifact

    rows = []
    for (name, recipe), side in PHONES.items():
        shape = (side, side, 3)
        model = zoo.create_model(name, recipe=recipe, input_shape=shape, num_classes=10)
        images = np.random.default_rng(0).integers(0, 256, (50, *shape))
        with tempfile.TemporaryDirectory() as directory:
            tflite.write_source(model, shape, directory)
            for file in FILES:
                content = tflite.convert(directory, file, images.astype(np.float32))
                path = pathlib.Path(directory, f"{file}.tflite")
                path.write_bytes(content)
                example = images[:1].astype(np.uint8)
                latency = verify.time_examples(artifact.load(path), example)
                about = {"model": name, "recipe": recipe, "side": side, "file": file}
                measured = {"bytes": len(content), "ms": latency["median"]}
                rows.append(about | measured)
    return rows


def measure(rounds: int) -> dict[str, Any]:
    """Returns the speeds of each model, and the shares of the operations."""
    python = torch_python()
    return {
        "rounds": rounds,
        "batch_size": BATCH,
        "side": SIDE,
        "models": {name: measure_model(name, rounds, python) for name in MODELS},
        "operations": profile(),
        "files": phone_files(),
    }


def tables(result: dict[str, Any]) -> dict[str, str]:
    """Returns the Markdown tables of a result, by their markers."""
    rows = []
    for name, found in result["models"].items():
        rates, times = found["examples_per_second"], found["zoo_times_as_fast"]
        best = max(times, key=rates.get, default=None)
        for who in (*ZOO, *([best] if best else [])):
            shown = f"{times[who]:.2f}" if who in times else ""
            rows.append([name, who, f"{rates[who]:,.1f}", shown])
    heads = ["model", "trained by", "examples/s:", "zoo from scratch / this:"]
    kinds = {k: s for k, s in result["operations"].items() if s >= SMALLEST}
    listed = [[f"`{kind}`", f"{share:.1%}"] for kind, share in kinds.items()]
    listed.append(["all others", f"{1 - sum(kinds.values()):.1%}"])
    files = [
        [
            f"{each['model']}, recipe {each['recipe']}, {each['side']} px",
            each["file"],
            f"{each['bytes']:,}",
            f"{each['ms']:.2f}",
        ]
        for each in result["files"]
    ]
    return {
        "mobile_fit": document.table(heads, rows),
        "files of networks for phones": document.table(
            ["network", "file", "bytes:", "ms for an image:"], files
        ),
        "operations of a step": document.table(
            ["operation of TensorFlow", "share of the time:"], listed
        ),
    }
