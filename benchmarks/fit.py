"""Training speed: model.fit as train.py runs it, and everyone else's way.

    python -m benchmarks.fit --model=mlp --rounds=7

One process each, in turns; medians, and medians of the ratios within a round. Batches
of 128 of MNIST; the same layers and optimizer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
from typing import Any

from benchmarks.turns import contestant, interleaved, ratio

BATCH = 128
STEPS = {"mlp": 468, "convnet": 80}
# Multiplications and additions of the matrix products of one example, forward.
_FORWARD = {
    "mlp": 2 * (784 * 256 + 256 * 128 + 128 * 10),
    "convnet": 2 * (28 * 28 * 9 * 32 + 6272 * 1024 + 1024 * 10),
}
# The gradient of the weights costs as much, that of the input likewise; the first
# layer needs none of the latter.
_FIRST = {"mlp": 2 * 784 * 256, "convnet": 2 * 28 * 28 * 9 * 32}
_HERE = "benchmarks.contestants."


def measure(model_name: str, rounds: int) -> dict[str, Any]:
    """Returns examples/s of everyone and how often the zoo is as fast."""
    steps = STEPS[model_name]
    entries = {
        "zoo": ("zoo_fit", model_name, steps, "default", "plain"),
        "zoo, augmented": ("zoo_fit", model_name, steps, "default", "augmented"),
        "bare step": ("bare_step", model_name, steps),
        "Keras": ("keras_fit", model_name, steps),
        "PyTorch": ("torch_fit", model_name, steps),
        "JAX": ("jax_fit", model_name, steps),
    }
    if model_name == "mlp":
        tutorial = ("zoo_fit", model_name, steps, "tutorial_low_level", "plain")
        entries |= {"zoo, tutorial": tutorial, "eager loop": ("eager_loop", steps)}
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(contestant(_HERE + module, *arguments))
            for name, (module, *arguments) in entries.items()
        }
        roof = stack.enter_context(contestant(f"{_HERE}matmul"))
        seconds = interleaved(started | {"matmul": roof}, rounds)
    gflops = statistics.median(seconds.pop("matmul"))
    used = 3 * _FORWARD[model_name] - _FIRST[model_name]
    rates = {
        name: BATCH * steps / statistics.median(taken)
        for name, taken in seconds.items()
    }
    return {
        "model": model_name,
        "rounds": rounds,
        "examples_per_second": {name: round(rate) for name, rate in rates.items()},
        "zoo_times_as_fast": {
            name: round(ratio(seconds[name], seconds[_rival(name)]), 3)
            for name in seconds
            if _rival(name)
        },
        "matmul_gflops": round(gflops, 1),
        "share_of_matmul": round(used * rates["zoo"] * 1e-9 / gflops, 3),
    }


def _rival(name: str) -> str | None:
    """Returns which training of the zoo is compared with whom."""
    if name.startswith("zoo"):
        return None
    return "zoo, tutorial" if name == "eager loop" else "zoo"


def table(results: list[dict[str, Any]]) -> str:
    """Returns the Markdown table of some results of ``measure``."""
    lines = [
        "| model | trained by | examples/s | zoo is times as fast |\n",
        "| --- | --- | ---: | ---: |\n",
    ]
    for result in results:
        for name, rate in result["examples_per_second"].items():
            times = result["zoo_times_as_fast"].get(name)
            lines.append(
                f"| {result['model']} | {name} | {rate:,} | "
                f"{'' if times is None else f'{times:.2f}'} |\n"
            )
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mlp", choices=list(STEPS))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(json.dumps(measure(options.model, options.rounds), indent=2))


if __name__ == "__main__":
    main()
