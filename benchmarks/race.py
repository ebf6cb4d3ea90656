"""Measures the time of a process that trains to 99.0% on MNIST's test split.

    python -m benchmarks.race --rounds=3

Compares train.py and its fast recipe, with another seed in each round, with the
published examples of Keras and PyTorch, which end after the first epoch that reaches
99.0%. train.py draws, exports and logs nothing, like the examples. The dataset is
prepared beforehand.
"""

from __future__ import annotations

import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time
from typing import Any

import zoo
from benchmarks import comparison, data
from zoo import startup
from zoo.errors import RunError

MODEL = "allconv"
GOAL = 0.99
NEEDS = ("torch",)
_LEAN = ("--export=none", "--noplots", "--notensorboard")
_OURS = f"`train.py --model={MODEL} --recipe=fast {' '.join(_LEAN)}`"
_EXAMPLES = {"Keras's example": "keras_example", "PyTorch's example": "torch_example"}


def train(seed: int) -> tuple[float, float]:
    """Returns the seconds of train.py and its test accuracy."""
    with tempfile.TemporaryDirectory() as directory:
        run_dir = pathlib.Path(directory) / "run"
        command = ["train.py", f"--model={MODEL}", "--recipe=fast"]
        command += [f"--dataset={data.directory()}", f"--run_dir={run_dir}"]
        began = time.perf_counter()
        command += [f"--seed={seed}", *_LEAN]
        comparison.run_python(*command, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        result = json.loads((run_dir / "result.json").read_text())
    return seconds, result["test"]["accuracy"]


def example(module: str) -> tuple[float, float]:
    """Returns the seconds of an example and its test accuracy."""
    command = ("-m", f"benchmarks.contestants.{module}")
    began = time.perf_counter()
    done = comparison.run_python(*command, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    asking = re.search(r"^asking: ([\d.]+)$", done.stdout, re.MULTILINE)
    reached = re.findall(r"^epoch \d+: ([\d.]+)$", done.stdout, re.MULTILINE)
    return seconds - (float(asking[1]) if asking else 0.0), float(reached[-1])


def measure(rounds: int) -> dict[str, Any]:
    """Returns seconds, accuracies, and the ratio to the best example's time."""
    startup.start()
    zoo.load_dataset(str(data.directory()))
    runners = {_OURS: train}
    runners |= {name: lambda _, m=m: example(m) for name, m in _EXAMPLES.items()}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for seed in range(rounds):
        for name, runner in runners.items():
            found[name].append(runner(seed))
    seconds = {
        name: statistics.median(taken for taken, _ in runs)
        for name, runs in found.items()
    }
    reached = [
        seconds[name]
        for name in _EXAMPLES
        if all(accuracy >= GOAL for _, accuracy in found[name])
    ]
    if not reached:
        raise RunError(f"No example reached {GOAL:.1%}: there is nothing to compare.")
    return {
        "rounds": rounds,
        "goal": GOAL,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "accuracy": {
            name: round(min(accuracy for _, accuracy in runs), 4)
            for name, runs in found.items()
        },
        "share_of_the_best_example": round(seconds[_OURS] / min(reached), 3),
    }


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    lines = [
        "| training | seconds | test accuracy at the end |\n",
        "| --- | ---: | ---: |\n",
    ]
    for name, seconds in result["seconds"].items():
        accuracy = result["accuracy"][name]
        missed = "" if accuracy >= result["goal"] else ", never reached"
        lines.append(f"| {name} | {seconds:.1f} | {accuracy:.2%}{missed} |\n")
    return "".join(lines)


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=3, needs=NEEDS)
