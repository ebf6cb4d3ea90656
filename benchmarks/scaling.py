"""Estimates the speed-up of several workers from the cost of communication.

    python -m benchmarks.scaling --write

Measures the time of a step on one worker for two batch sizes, which gives the fixed
cost of a step and the cost of an example. The rest is arithmetic: a ring all-reduce of
N workers moves 2 (N - 1) / N times the gradients' bytes through each worker's link, in
2 (N - 1) hops, and starts when the step is done.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time

from benchmarks import comparison, document
from zoo import console, startup
from zoo.commands import flags

WORKERS = (8, 64, 512)
BATCHES = (64, 1024)
BATCH = 128  # per worker, in the table
STEPS = 20

FLAGS = flags.Flags()
FLAGS.float("gigabits", 10.0, "Bandwidth between workers, in Gbit/s.")
FLAGS.float("microseconds", 50.0, "Latency of a hop between workers.")
FLAGS.integer("rounds", 5, "Measurements of each batch.", lower_bound=1)
FLAGS.boolean("write", False, "Write the table into the documents.")


@dataclasses.dataclass(frozen=True)
class Link:
    """The network between workers: bytes per second, and seconds per hop."""

    bandwidth: float
    latency: float


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a step: ``fixed + example * batch`` seconds, and bytes to reduce."""

    fixed: float
    example: float
    bytes: int

    def step(self, batch: float) -> float:
        """Returns the seconds of a step on one worker."""
        return self.fixed + self.example * batch

    def reduce(self, workers: int, link: Link) -> float:
        """Returns the seconds of an all-reduce among workers."""
        moved = 2 * (workers - 1) / workers * self.bytes
        return moved / link.bandwidth + 2 * (workers - 1) * link.latency

    def batch_for(self, speedup: float, workers: int, link: Link) -> int:
        """Returns the smallest global batch with which workers reach a speed-up.

        It solves fixed + example * batch = speedup * (fixed + example * batch / workers
        + reduce) for the batch.
        """
        lacking = speedup * (self.fixed + self.reduce(workers, link)) - self.fixed
        gained = self.example * (1 - speedup / workers)
        return max(workers, math.ceil(lacking / gained))


def measure(name: str, rounds: int) -> Cost:
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


def table(costs: dict[str, Cost], gigabits: float, microseconds: float) -> str:
    """Returns the table in Markdown, with a paragraph on how it was made."""
    link = Link(gigabits * 1e9 / 8, microseconds * 1e-6)
    lines = [
        f"Measured: one worker's step on {os.cpu_count()} CPU cores for batches of "
        f"{BATCHES[0]} and {BATCHES[1]:,}, the",
        "minimum of several, which gives the fixed cost of a step and the cost of an "
        "example. Assumed:",
        f"a ring of {gigabits:g} Gbit/s and {microseconds:g} microseconds per hop, and "
        "an all-reduce that starts when",
        "the gradients are ready.",
        "",
        "| model | gradients | a step | an example | workers | all-reduce "
        f"| speed-up, {BATCH} per worker | faster than one from --batch_size "
        "| half of ideal from |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, cost in costs.items():
        start = (
            f"| `{name}` | {cost.bytes / 1e6:.2f} MB | {1000 * cost.fixed:.1f} ms "
            f"| {1e6 * cost.example:.1f} us"
        )
        lines.append(f"{start} | 1 | 0 | 1.0 | | |")
        for workers in WORKERS:
            alone = cost.step(BATCH)
            reduce = cost.reduce(workers, link)
            speed = workers * alone / (alone + reduce)
            lines.append(
                f"| | | | | {workers} | {1000 * reduce:.1f} ms | {speed:.1f} "
                f"| {cost.batch_for(1, workers, link):,} "
                f"| {cost.batch_for(workers / 2, workers, link):,} |"
            )
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> None:
    """Measures, prints the table, and writes it."""
    comparison.parse_flags(argv, __doc__, FLAGS)
    startup.start()
    import zoo

    costs = {name: measure(name, FLAGS.rounds) for name in zoo.list_models()}
    text = table(costs, FLAGS.gigabits, FLAGS.microseconds)
    print(text)
    if FLAGS.write:
        document.rewrite(document.where("scaling"), "scaling", text)


if __name__ == "__main__":
    console.main(main)
