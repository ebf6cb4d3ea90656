"""What a run does beside its steps: the watch, backups, TensorBoard, --deterministic.

    python -m benchmarks.backup --model=mlp --rounds=9

Epochs of MNIST with and without, in turns, a process each; medians, and medians of the
ratios within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
from typing import Any

from benchmarks.turns import contestant, interleaved, ratio

VARIANTS = (
    *("plain", "watched", "backups", "tensorboard", "histograms", "deterministic"),
)


def measure(model_name: str, rounds: int) -> dict[str, Any]:
    """Returns seconds of an epoch, and times of what a plain one takes."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(json.dumps(measure(options.model, options.rounds), indent=2))


if __name__ == "__main__":
    main()
