"""Measures time against the number of examples and against the batch size.

Measures the seconds of an epoch of mlp on MNIST repeated 1, 10 and 100 times in
memory, and the examples/s of training with batches of 16 to 1,024. Contestants take
turns; medians are reported, except for the two long epochs, which are trained once.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data, document
from benchmarks.comparison import interleaved
from benchmarks.contestants import zoo_fit
from zoo import startup
from zoo.data.dataset import Split

ROUNDS = 3
REPETITIONS = (1, 10, 100)
MODEL = "mlp"  # the model trained on repeated data
# The models trained with several batch sizes, with enough steps to outweigh the cost
# of starting fit.
STEPS = {"mlp": 400, "convnet": 30}
BATCHES = (16, 32, 64, 128, 256, 512, 1024)


def measure(rounds: int) -> dict[str, Any]:
    """Returns seconds of an epoch by examples, and examples/s by model and batch."""
    startup.start()
    import tensorflow as tf

    # TensorFlow mistakes many models for one model that is retraced, and warns.
    tf.get_logger().setLevel("ERROR")
    return {
        "rounds": rounds,
        "model": MODEL,
        "seconds_of_an_epoch": by_examples(rounds),
        "examples_per_second": {name: by_batch(name, rounds) for name in STEPS},
    }


def by_examples(rounds: int) -> dict[str, float]:
    """Returns the seconds of an epoch by the number of examples."""
    train, seconds = data.mnist().train, {}
    for times in REPETITIONS:
        images = np.tile(train.x, (times, 1, 1, 1))
        epoch = _epoch(MODEL, Split(images, np.tile(train.y, times)))
        epoch(100)  # compiles
        taken = [epoch() for _ in range(rounds if times == 1 else 1)]
        seconds[str(times * len(train.y))] = round(statistics.median(taken), 3)
    return seconds


def by_batch(model_name: str, rounds: int) -> dict[str, int]:
    """Returns the examples/s of a model by the batch size."""
    train, steps = data.mnist().train, STEPS[model_name]
    works = {
        str(size): _epoch(model_name, train, batch_size=size, steps_per_epoch=steps)
        for size in BATCHES
    }
    return {
        size: round(steps * int(size) / statistics.median(taken))
        for size, taken in interleaved(works, rounds).items()
    }


def _epoch(model_name: str, split: Split, **overrides: Any) -> Callable[..., float]:
    """Returns a function that trains an epoch and returns its seconds."""
    import zoo

    recipe = zoo.get_recipe(model_name).override(epochs=1, augment={}, **overrides)
    return zoo_fit.training(model_name, split, recipe)[1]


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown tables of a result."""
    rows = [
        [
            f"{int(examples):,}",
            f"{seconds:.2f}",
            f"{1e6 * seconds / int(examples):.1f}",
        ]
        for examples, seconds in result["seconds_of_an_epoch"].items()
    ]
    heads = ["examples:", "seconds per epoch:", "microseconds per example:"]
    rates = result["examples_per_second"]
    by_size = [
        [f"{int(size):,}", *(f"{found[size]:,}" for found in rates.values())]
        for size in next(iter(rates.values()))
    ]
    names = ["batch size:", *(f"{name}, examples/s:" for name in rates)]
    return document.table(heads, rows) + "\n" + document.table(names, by_size)
