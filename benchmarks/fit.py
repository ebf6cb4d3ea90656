"""Compares the training speed of the zoo, Keras, PyTorch and JAX.

All contestants use the same layers, optimizer and batches, all cores and no
augmentation. mlp and convnet are trained on MNIST with AdamW; the default allconv and
resnet on random images of 32x32x3 with SGD and Nesterov momentum. Contestants take
turns, each in its own process. The first round is not counted, because compilers work
in it. Reports medians, and medians of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import statistics
from typing import Any

from benchmarks import data
from benchmarks.comparison import contestant, interleaved, ratio
from benchmarks.document import table as markdown
from zoo import startup

ROUNDS = 7
NEEDS = ("torch", "jax", "flax", "optax")
#: Steps of a round and size of a batch.
WORK = {
    "mlp": (468, 128),
    "convnet": (40, 256),
    "allconv": (20, 128),
    "resnet": (10, 128),
}


def contestants(model_name: str) -> dict[str, tuple[str, ...]]:
    """Returns the module of each contestant, and what else ``prepare`` takes."""
    entries: dict[str, tuple[str, ...]] = {
        "zoo": ("zoo_fit",),
        "zoo, augmented": ("zoo_fit", "augmented"),
    }
    if model_name in data.ON_MNIST:
        return entries | {
            "zoo with Keras's AdamW": ("zoo_fit", "keras_optimizer"),
            "Keras": ("keras_fit",),
            "PyTorch": ("torch_fit",),
            "JAX": ("jax_fit",),
        }
    return entries | {
        "Keras": ("keras_fit",),
        "PyTorch, nchw": ("torch_fit",),
        "PyTorch, channels last": ("torch_fit", "channels_last"),
    }


def measure_model(model_name: str, rounds: int) -> dict[str, Any]:
    """Returns the examples/s of each contestant, and the zoo's speed relative to it."""
    steps, batch = WORK[model_name]
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(
                contestant(
                    f"benchmarks.contestants.{module}", model_name, steps, batch, *rest
                )
            )
            for name, (module, *rest) in contestants(model_name).items()
        }
        seconds = interleaved(started, rounds)
    return {
        "batch_size": batch,
        "rounds": rounds,
        "examples_per_second": {
            name: round(batch * steps / statistics.median(taken))
            for name, taken in seconds.items()
        },
        "zoo_times_as_fast": {
            name: round(ratio(taken, seconds["zoo"]), 3)
            for name, taken in seconds.items()
            if not name.startswith("zoo,") and name != "zoo"
        },
    }


def measure(rounds: int) -> dict[str, Any]:
    """Returns ``measure_model`` of every model."""
    startup.start()
    return {"models": {name: measure_model(name, rounds) for name in WORK}}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    rows = []
    for model_name, found in result["models"].items():
        for name, rate in found["examples_per_second"].items():
            times = found["zoo_times_as_fast"].get(name)
            shown = f"{times:.2f}" if times else ""
            rows.append([model_name, name, f"{rate:,}", shown])
    heads = ["model", "trained by", "examples/s:", "speed of the zoo / this:"]
    return markdown(heads, rows)
