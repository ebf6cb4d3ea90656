"""Measures start-up times and peak memory.

Reports the medians of the time from a command to the end of its first training steps
with prepared data, and of --help and `import zoo`; and the largest resident set while
training an epoch and while exporting it.
"""

from __future__ import annotations

import collections
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import data, document
from benchmarks.document import ROOT
from zoo.errors import RunError

ROUNDS = 5
MODELS = ("mlp", "convnet")
# A program that runs train.py and exits after the first steps with a special code.
_STEPS_DONE = 77
_FIRST_STEPS = f"""
import os, runpy, sys, wrapt
@wrapt.when_imported("zoo.training.callbacks")
def end_after_a_batch(module):
    module.StepCounter.on_train_batch_end = lambda *_, **__: os._exit({_STEPS_DONE})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments: str, cwd: str, code: int = 0) -> tuple[float, float]:
    """Runs Python; returns its seconds and its peak memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise RunError(f"Failed, see above: python {shlex.join(arguments)}")
    return seconds, usage.ru_maxrss / 1024


def starting(rounds: int, place: str) -> dict[str, float]:
    """Returns the median seconds of each command, which are run in turns."""
    train, dataset = str(ROOT / "train.py"), f"--dataset={data.directory()}"
    commands = {
        "`import zoo`": (("-c", "import zoo"), 0),
        "`train.py --help`": ((train, "--help"), 0),
    }
    for model in MODELS:
        first = ("-c", _FIRST_STEPS, train, f"--model={model}", dataset)
        name = f"`train.py --model={model}` to its first steps"
        commands[name] = (first, _STEPS_DONE)
    seconds: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(rounds):
        for name, (arguments, code) in commands.items():
            fresh = tempfile.mkdtemp(dir=place)
            seconds[name].append(run(*arguments, cwd=fresh, code=code)[0])
    return {name: round(statistics.median(v), 3) for name, v in seconds.items()}


def memory(place: str) -> dict[str, int]:
    """Returns the peak memory, in MB, of training and of exporting each model."""
    peaks = {}
    for model in MODELS:
        flags = (f"--model={model}", f"--dataset={data.directory()}", "--epochs=1")
        train = (str(ROOT / "train.py"), *flags, "--run_dir=run", "--export=none")
        export = ("-m", "export", "--run_dir=run")
        fresh = tempfile.mkdtemp(dir=place)
        peaks[f"training {model}"] = round(run(*train, cwd=fresh)[1])
        peaks[f"exporting {model}"] = round(run(*export, cwd=fresh)[1])
    return peaks


def measure(rounds: int) -> dict[str, Any]:
    """Returns the median seconds and the peak megabytes."""
    with tempfile.TemporaryDirectory() as place:
        peaks = memory(place)  # first, because it prepares the data
        return {
            "rounds": rounds,
            "seconds": starting(rounds, place),
            "peak_megabytes": peaks,
        }


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    rows = [[name, f"{seconds:.2f}", ""] for name, seconds in result["seconds"].items()]
    for name, megabytes in result["peak_megabytes"].items():
        rows.append([name, "", f"{megabytes:,} MB"])
    return document.table(["what", "seconds:", "peak memory:"], rows)
