"""Measures the cost of the guard, backups, TensorBoard and --deterministic.

    python -m benchmarks.backup --model=mlp --rounds=9

Variants train epochs of MNIST in turns, each in its own process. Reports medians, and
medians of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from typing import Any

from benchmarks import comparison
from benchmarks.turns import contestant, interleaved, ratio
from zoo import console
from zoo.commands import flags

VARIANTS = (
    "plain",
    "guarded",
    "backups",
    "tensorboard",
    "histograms",
    "deterministic",
)
FLAGS = flags.Flags()
FLAGS.string("model", "mlp", "Architecture to train.")
FLAGS.integer("rounds", 9, "Rounds to measure.", lower_bound=1)


def measure(model_name: str, rounds: int) -> dict[str, Any]:
    """Returns the seconds of an epoch, and their ratio to a plain epoch's."""
    with contextlib.ExitStack() as stack:
        works = {
            name: stack.enter_context(
                contestant("benchmarks.contestants.zoo_guarded", model_name, name)
            )
            for name in VARIANTS
        }
        seconds = interleaved(works, rounds)
    return {
        "model": model_name,
        "rounds": rounds,
        "seconds": {
            name: round(statistics.median(taken), 3) for name, taken in seconds.items()
        },
        "times_plain": {
            name: round(ratio(taken, seconds["plain"]), 4)
            for name, taken in seconds.items()
        },
    }


def main(argv: list[str]) -> None:
    """Prints the results as JSON."""
    comparison.parse_flags(argv, __doc__, FLAGS)
    print(json.dumps(measure(FLAGS.model, FLAGS.rounds), indent=2))


if __name__ == "__main__":
    comparison.end_with_children()
    console.main(main)
