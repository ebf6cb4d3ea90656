"""Compares the training speed of the networks for photographs.

    python -m benchmarks.photos --rounds=5

Trains the default allconv and resnet on random images of 32x32x3, in batches of 128,
with all cores and without augmentation. The contestants are the zoo, stock Keras and
PyTorch. They run one at a time, each in its own process. Reports medians, and medians
of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import statistics
from typing import Any

from benchmarks import comparison
from benchmarks.turns import contestant, interleaved, ratio

NEEDS = ("torch",)
STEPS = {"allconv": 20, "resnet": 10}
BATCH = 128
_NAMES = {
    "zoo": "zoo",
    "keras": "Keras",
    "torch_nchw": "PyTorch, nchw",
    "torch_channels_last": "PyTorch, channels last",
}


def measure(rounds: int) -> dict[str, Any]:
    """Returns the examples/s of each contestant, and the zoo's speed relative to it."""
    models = {}
    for model_name, steps in STEPS.items():
        with contextlib.ExitStack() as stack:
            started = {
                name: stack.enter_context(
                    contestant(
                        "benchmarks.contestants.photo_fit",
                        kind,
                        model_name,
                        steps,
                        BATCH,
                    )
                )
                for kind, name in _NAMES.items()
            }
            seconds = interleaved(started, rounds)
        models[model_name] = {
            "examples_per_second": {
                name: round(BATCH * steps / statistics.median(taken))
                for name, taken in seconds.items()
            },
            "zoo_times_as_fast": {
                name: round(ratio(taken, seconds["zoo"]), 3)
                for name, taken in seconds.items()
                if name != "zoo"
            },
        }
    return {"batch_size": BATCH, "rounds": rounds, "models": models}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    return comparison.rates_table(result["models"])


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=5, needs=NEEDS)
