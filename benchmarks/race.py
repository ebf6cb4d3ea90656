"""Measures the time of a process that trains to 99.0% on MNIST's test split.

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
from collections.abc import Callable, Mapping
from typing import Any

import zoo
from benchmarks import comparison, data, document
from zoo import startup
from zoo.errors import RunError

MODEL = "allconv"
GOAL = 0.99
ROUNDS = 3
NEEDS = ("torch",)
#: Flags of a training that only trains and evaluates.
LEAN = ("--export=none", "--noplots", "--notensorboard")
_FLAGS = (f"--model={MODEL}", "--recipe=fast", *LEAN)
_OURS = f"`train.py {' '.join(_FLAGS)}`"
_EXAMPLES = {"Keras's example": "keras_example", "PyTorch's example": "torch_example"}


def train(*flags: str) -> tuple[float, float]:
    """Returns the seconds of train.py and its test accuracy."""
    with tempfile.TemporaryDirectory() as directory:
        run_dir = pathlib.Path(directory) / "run"
        began = time.perf_counter()
        comparison.run_python(
            "train.py", *flags, f"--run_dir={run_dir}", stdout=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - began
        result = json.loads((run_dir / "result.json").read_text())
    return seconds, result["test"]["accuracy"]


def example(module: str, *arguments: str) -> tuple[float, float]:
    """Returns the seconds of a contestant's training and its last test accuracy."""
    command = ("-m", f"benchmarks.contestants.{module}", *arguments)
    began = time.perf_counter()
    done = comparison.run_python(*command, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    asking = re.search(r"^asking: ([\d.]+)$", done.stdout, re.MULTILINE)
    reached = re.findall(r"^epoch \d+: ([\d.]+)$", done.stdout, re.MULTILINE)
    return seconds - (float(asking[1]) if asking else 0.0), float(reached[-1])


def measure(rounds: int) -> dict[str, Any]:
    """Returns seconds, accuracies, and the ratio to the best example's time."""
    startup.start()
    dataset = str(data.directory())
    zoo.load_dataset(dataset)  # prepares it
    ours = (*_FLAGS, f"--dataset={dataset}")
    runners = {_OURS: lambda seed: train(*ours, f"--seed={seed}")}
    runners |= {name: lambda _, m=m: example(m) for name, m in _EXAMPLES.items()}
    return compare(runners, rounds, GOAL)


def compare(
    runners: Mapping[str, Callable[[int], tuple[float, float]]],
    rounds: int,
    goal: float,
) -> dict[str, Any]:
    """Runs trainings in turns and compares the first with the best of the others.

    Args:
        runners: for each name, a function of the seed that returns the seconds and the
            test accuracy of a training. The first is the zoo's.
        rounds: number of rounds.
        goal: accuracy that a training must reach in each round to count.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for seed in range(rounds):
        for name, runner in runners.items():
            found[name].append(runner(seed))
    seconds = {
        name: statistics.median(taken for taken, _ in runs)
        for name, runs in found.items()
    }
    accuracy = {
        name: min(reached for _, reached in runs) for name, runs in found.items()
    }
    ours, *others = runners
    reached = [seconds[name] for name in others if accuracy[name] >= goal]
    if not reached or accuracy[ours] < goal:
        raise RunError(f"Not enough trainings reached {goal:.1%}. Found: {accuracy}.")
    return {
        "rounds": rounds,
        "goal": goal,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "accuracy": {name: round(value, 4) for name, value in accuracy.items()},
        "share_of_the_best_example": round(seconds[ours] / min(reached), 3),
    }


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    rows = []
    for name, seconds in result["seconds"].items():
        accuracy = result["accuracy"][name]
        missed = "" if accuracy >= result["goal"] else ", never reached"
        rows.append([name, f"{seconds:.1f}", f"{accuracy:.2%}{missed}"])
    heads = ["training", "seconds:", "test accuracy at the end:"]
    return document.table(heads, rows)
