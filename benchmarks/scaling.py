"""What several workers are expected to bring: the arithmetic, written into BUILD.md.

    python -m benchmarks.scaling --write

The time of a step on one worker is measured here, for two batches, which gives what a
step and what an example costs. All else is arithmetic: a ring all-reduce of N workers
moves 2 (N - 1) / N times the gradients' bytes through each worker's link, in
2 (N - 1) hops.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import statistics
import time

from benchmarks import document
from zoo import runtime

WORKERS = (1, 8, 64, 512)
BATCHES = (32, 128)
BATCH = 128  # per worker, in the table


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds of a step on one worker: ``fixed + example * batch``; bytes reduced."""

    fixed: float
    example: float
    bytes: int

    def step(self, batch: float) -> float:
        """Returns the seconds of a step on one worker."""
        return self.fixed + self.example * batch

    def reduce(self, workers: int, bandwidth: float, latency: float) -> float:
        """Returns the seconds of an all-reduce among workers."""
        moved = 2 * (workers - 1) / workers * self.bytes
        return moved / bandwidth + 2 * (workers - 1) * latency

    def efficiency(self, workers: int, bandwidth: float, latency: float) -> float:
        """Returns the share of N times the throughput of one that N reach."""
        alone = self.step(BATCH)
        return alone / (alone + self.reduce(workers, bandwidth, latency))

    def batch_for(
        self, share: float, workers: int, bandwidth: float, latency: float
    ) -> int:
        """Returns the batch per worker from which ``share`` is reached."""
        needed = share / (1 - share) * self.reduce(workers, bandwidth, latency)
        return max(1, -int(-(needed - self.fixed) // self.example))


def measure(name: str, rounds: int) -> Cost:
    """Measures one worker's step on MNIST's shapes; medians, batches in turns."""
    import tensorflow as tf

    import zoo

    model = zoo.create_model(name, input_shape=(28, 28, 1), num_classes=10)
    data = {
        size: tf.data.Dataset.from_tensors(
            (tf.zeros((size, 28, 28, 1), tf.uint8), tf.zeros(size, tf.int32))
        ).repeat(30)
        for size in BATCHES
    }
    seconds: dict[int, list[float]] = {size: [] for size in BATCHES}
    for round_ in range(rounds + 1):  # the first one traces
        for size, batches in data.items():
            began = time.perf_counter()
            model.fit(batches, verbose=0, shuffle=False)
            taken = (time.perf_counter() - began) / 30
            seconds[size] += [taken] if round_ else []
    small, large = (statistics.median(seconds[size]) for size in BATCHES)
    example = max((large - small) / (BATCHES[1] - BATCHES[0]), 1e-7)
    fixed = max(small - example * BATCHES[0], 0.0)
    count = sum(int(tf.size(v.value)) for v in model.trainable_variables)
    return Cost(fixed, example, 4 * count)


def table(costs: dict[str, Cost], gigabits: float, microseconds: float) -> str:
    """Returns the lines of the table."""
    bandwidth, latency = gigabits * 1e9 / 8, microseconds * 1e-6
    link = (bandwidth, latency)
    columns = [f"{n} workers" for n in WORKERS[1:]]
    lines = [
        f"Measured: one worker's step of {BATCH} examples on a CPU with 4 cores. "
        f"Assumed: {gigabits:g} Gbit/s",
        f"and {microseconds:g} microseconds per hop between workers. Cells: seconds of "
        "the all-reduce,",
        "then the throughput as a multiple of one worker's, and of the ideal.",
        "",
        f"| model | reduced per step | step | {' | '.join(columns)} | batch per worker "
        "for 50% / 90% at 64 |",
        "| --- " * (len(columns) + 4) + "|",
    ]
    for name, cost in costs.items():
        cells = [
            f"{1000 * cost.reduce(n, *link):.1f} ms: "
            f"{n * cost.efficiency(n, *link):.1f}x, {cost.efficiency(n, *link):.0%}"
            for n in WORKERS[1:]
        ]
        sizes = " / ".join(
            f"{cost.batch_for(share, 64, *link):,}" for share in (0.5, 0.9)
        )
        lines.append(
            f"| `{name}` | {cost.bytes / 1e6:.2f} MB "
            f"| {1000 * cost.step(BATCH):.1f} ms "
            f"| {' | '.join(cells)} | {sizes} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parses the arguments, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabits", type=float, default=10.0)
    parser.add_argument("--microseconds", type=float, default=50.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into BUILD.md")
    arguments = parser.parse_args()
    runtime.start()
    import zoo

    costs = {name: measure(name, arguments.rounds) for name in zoo.list_models()}
    text = table(costs, arguments.gigabits, arguments.microseconds)
    print(text)
    if arguments.write:
        document.rewrite(pathlib.Path("BUILD.md"), "scaling", text)


if __name__ == "__main__":
    main()
