"""Compares the training speed of the networks for photographs.

    python -m benchmarks.photos --rounds=5

Trains the default allconv and resnet on random images of 32x32x3, in batches of 128,
with all cores. The contestants are the zoo, stock Keras and PyTorch, without
augmentation, and the zoo with that of the recipes for photographs. They run one at a
time, each in its own process. Reports medians, and medians of the ratios within a
round. Then TensorFlow's profiler shows where the time of a step goes.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
from typing import Any

from benchmarks import comparison
from benchmarks.contestants import step_profile
from benchmarks.turns import contestant, interleaved, ratio

NEEDS = ("torch",)
STEPS = {"allconv": 20, "resnet": 10}
BATCH = 128
# The shape of a matrix product that shows the peak rate of the machine.
_ROOF = (2048, 2048, 2048)
_NAMES = {
    "zoo": "zoo",
    "zoo_augmented": "zoo, augmented",
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
            roof = contestant("benchmarks.contestants.matmul", *_ROOF)
            started["roof"] = stack.enter_context(roof)
            seconds = interleaved(started, rounds)
        roofs = seconds.pop("roof")
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
            "roof_gflops": round(statistics.median(roofs), 1),
            "step": _profile(model_name),
        }
    return {"batch_size": BATCH, "rounds": rounds, "models": models}


def _profile(model_name: str) -> dict[str, Any]:
    """Returns the profile of a step, see ``contestants.step_profile``."""
    done = comparison.run_python(
        "-m",
        step_profile.__name__,
        model_name,
        str(BATCH),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return json.loads(done.stdout)


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown tables of a result: speeds, and the parts of a step."""
    models = result["models"]
    kinds = [*dict.fromkeys(step_profile.KINDS.values()), step_profile.REST]
    lines = [
        "",
        f"| part of a step | {' | '.join(models)} |",
        f"| --- |{' ---: |' * len(models)}",
    ]
    for kind in kinds:
        shares = [
            step["ms"].get(kind, 0.0) / sum(step["ms"].values())
            for step in (found["step"] for found in models.values())
        ]
        lines.append(f"| {kind} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    lines.append("")
    for name, found in models.items():
        reached, roof = found["step"]["gflops"], found["roof_gflops"]
        lines.append(
            f"- {name}: its convolutions run at {reached:.0f} GFLOP/s; TensorFlow "
            f"multiplies\n  matrices of {_ROOF[0]}x{_ROOF[1]} at {roof:.0f} GFLOP/s."
        )
    return comparison.rates_table(models) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=5, needs=NEEDS)
