"""Compares the training speed of the zoo, Keras, PyTorch and JAX.

    python -m benchmarks.fit --rounds=7

All contestants use the same layers, optimizer and batches of MNIST, with the batch size
of the default recipe, all cores and no augmentation. They take turns, each in its own
process. The first round is not counted, because compilers work in it. Reports medians,
and medians of the ratios within a round. There are no evaluations and no backups;
benchmarks.backup measures these.
"""

from __future__ import annotations

import contextlib
import statistics
from typing import Any

import zoo
from benchmarks import comparison
from benchmarks.turns import contestant, interleaved, ratio
from zoo import startup

NEEDS = ("torch", "jax", "flax", "optax")
STEPS = {"mlp": 468, "convnet": 40}
# Multiplications and additions in the matrix products of one example's forward pass.
_FORWARD = {
    "mlp": 2 * (784 * 256 + 256 * 128 + 128 * 10),
    "convnet": 2 * (28 * 28 * 9 * 32 + 6272 * 1024 + 1024 * 10),
}
# The gradients of the weights and of the input cost as much again, each. The first
# layer needs no gradient of its input.
_FIRST = {"mlp": 2 * 784 * 256, "convnet": 2 * 28 * 28 * 9 * 32}
# Shape of the largest layer's weights, and of the product that serves as the roof.
_LARGEST = {"mlp": (784, 256), "convnet": (6272, 1024)}
_ROOF = (2048, 2048, 2048)
_TUTORIAL_BATCH = 128
_OURS = ("zoo", "zoo, augmented", "zoo, tutorial")


def measure_model(model_name: str, rounds: int) -> dict[str, Any]:
    """Returns the examples/s of each contestant, and the zoo's speed relative to it."""
    steps, batch = STEPS[model_name], zoo.get_recipe(model_name).batch_size
    work = (model_name, steps, batch)
    entries = {
        "zoo": ("zoo_fit", *work, "default", "plain"),
        "zoo, augmented": ("zoo_fit", *work, "default", "augmented"),
        "zoo with Keras's AdamW": ("zoo_fit", *work, "default", "keras_optimizer"),
        "bare step": ("bare_step", *work),
        "Keras": ("keras_fit", *work),
        "PyTorch": ("torch_fit", *work),
        "JAX": ("jax_fit", *work),
    }
    if model_name == "mlp":
        tutorial = (model_name, steps, _TUTORIAL_BATCH, "tutorial_low_level", "plain")
        entries |= {
            "zoo, tutorial": ("zoo_fit", *tutorial),
            "eager loop": ("eager_loop", steps, _TUTORIAL_BATCH),
        }
    entries["roof"] = ("matmul", *_ROOF)
    entries["largest"] = ("matmul", batch, *_LARGEST[model_name])
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(
                contestant(f"benchmarks.contestants.{module}", *arguments)
            )
            for name, (module, *arguments) in entries.items()
        }
        seconds = interleaved(started, rounds)
    roof, largest = seconds.pop("roof"), seconds.pop("largest")
    rates = {
        name: batch * steps / statistics.median(taken)
        for name, taken in seconds.items()
    }
    per_example = 3 * _FORWARD[model_name] - _FIRST[model_name]
    products = [per_example * batch * steps * 1e-9 / taken for taken in seconds["zoo"]]
    return {
        "batch_size": batch,
        "rounds": rounds,
        "examples_per_second": {name: round(rate) for name, rate in rates.items()},
        "zoo_times_as_fast": {
            name: round(ratio(taken, seconds[_compared(name)]), 3)
            for name, taken in seconds.items()
            if name not in _OURS
        },
        "roof_gflops": round(statistics.median(roof), 1),
        "largest_layer_gflops": round(statistics.median(largest), 1),
        "share_of_roof": round(ratio(products, roof), 3),
    }


def _compared(name: str) -> str:
    """Returns the zoo's contestant that does the same work."""
    return "zoo, tutorial" if name == "eager loop" else "zoo"


def measure(rounds: int) -> dict[str, Any]:
    """Returns ``measure_model`` of every model."""
    startup.start()
    return {"models": {name: measure_model(name, rounds) for name in STEPS}}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    lines = [comparison.rates_table(result["models"])]
    lines.append("\n")
    for model_name, found in result["models"].items():
        rows, columns = _LARGEST[model_name]
        lines.append(
            f"- {model_name}: counting only matrix products, the zoo's training runs "
            f"at {found['share_of_roof']:.0%} of\n  "
            f"{found['roof_gflops']:.0f} GFLOP/s, the rate at which TensorFlow "
            f"multiplies {_ROOF[0]}x{_ROOF[1]} matrices on\n"
            "  this machine. The products of the largest layer, "
            f"({found['batch_size']}, {rows}) x ({rows}, {columns})\n  and its "
            f"transpose, run at {found['largest_layer_gflops']:.0f} GFLOP/s alone.\n"
        )
    return "".join(lines)


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=7, needs=NEEDS)
