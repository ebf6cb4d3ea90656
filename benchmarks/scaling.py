"""Estimates the speed-up of several workers from the cost of communication.

Measures the time of a step on one worker for two batch sizes, which gives the fixed
cost of a step and the cost of an example. The rest is arithmetic: a ring all-reduce of
N workers moves 2 (N - 1) / N times the gradients' bytes through each worker's link, in
2 (N - 1) hops, and starts when the step is done.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

from benchmarks import document
from zoo import startup

ROUNDS = 5
WORKERS = (8, 64, 512)
BATCHES = (64, 1024)
BATCH = 128  # per worker, in the table
STEPS = 20
#: The network between the workers of the table: 10 Gbit/s and 50 microseconds a hop.
BANDWIDTH = 1.25e9  # bytes per second
LATENCY = 50e-6


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a step: ``fixed + example * batch`` seconds, and bytes to reduce."""

    fixed: float
    example: float
    bytes: int

    def step(self, batch: float) -> float:
        """Returns the seconds of a step on one worker."""
        return self.fixed + self.example * batch

    def reduce(self, workers: int) -> float:
        """Returns the seconds of an all-reduce among workers."""
        moved = 2 * (workers - 1) / workers * self.bytes
        return moved / BANDWIDTH + 2 * (workers - 1) * LATENCY

    def batch_for(self, speedup: float, workers: int) -> int:
        """Returns the smallest global batch with which workers reach a speed-up.

        It solves fixed + example * batch = speedup * (fixed + example * batch / workers
        + reduce) for the batch.
        """
        lacking = speedup * (self.fixed + self.reduce(workers)) - self.fixed
        gained = self.example * (1 - speedup / workers)
        return max(workers, math.ceil(lacking / gained))


def measure_model(name: str, rounds: int) -> Cost:
    """Measures one worker's step on MNIST's shapes, the minimum over the rounds."""
    import tensorflow as tf

    import zoo

    model = zoo.create_model(name, input_shape=(28, 28, 1), num_classes=10)
    data = {
        size: tf.data.Dataset.from_tensors(
            (tf.zeros((size, 28, 28, 1), tf.uint8), tf.zeros(size, tf.int32))
        ).repeat(STEPS)
        for size in BATCHES
    }
    seconds: dict[int, list[float]] = {size: [] for size in BATCHES}
    for round_ in range(rounds + 1):  # the first round only traces
        for size, batches in data.items():
            began = time.perf_counter()
            model.fit(batches, verbose=0, shuffle=False)
            taken = (time.perf_counter() - began) / STEPS
            seconds[size] += [taken] if round_ else []
    # The minimum, because other work on the machine only adds to the time.
    small, large = (min(seconds[size]) for size in BATCHES)
    example = (large - small) / (BATCHES[1] - BATCHES[0])
    fixed = max(small - example * BATCHES[0], 0.0)
    count = sum(int(tf.size(v.value)) for v in model.trainable_variables)
    return Cost(fixed, example, 4 * count)


def measure(rounds: int) -> dict[str, Any]:
    """Returns the cost of a step of each model."""
    startup.start()
    import zoo

    models = {name: measure_model(name, rounds) for name in zoo.list_models()}
    return {"models": {name: dataclasses.asdict(cost) for name, cost in models.items()}}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    rows = []
    for name, fields in result["models"].items():
        cost = Cost(**fields)
        alone = cost.step(BATCH)
        rows.append(
            [
                f"`{name}`",
                f"{cost.bytes / 1e6:.2f} MB",
                f"{1000 * cost.fixed:.1f} ms",
                f"{1e6 * cost.example:.1f} us",
                *("1", "0", "1.0", "", ""),
            ]
        )
        for workers in WORKERS:
            reduce = cost.reduce(workers)
            rows.append(
                [
                    *("", "", "", ""),
                    str(workers),
                    f"{1000 * reduce:.1f} ms",
                    f"{workers * alone / (alone + reduce):.1f}",
                    f"{cost.batch_for(1, workers):,}",
                    f"{cost.batch_for(workers / 2, workers):,}",
                ]
            )
    heads = ["model", "gradients:", "a step:", "an example:", "workers:", "all-reduce:"]
    heads += [f"speed-up, {BATCH} per worker:", "faster than one from --batch_size:"]
    return document.table([*heads, "half of ideal from:"], rows)
