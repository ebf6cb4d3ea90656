"""Seconds of starting, and memory at the peak.

    python -m benchmarks.startup --rounds=5

From the command to the end of the first call of training steps with prepared data, to
the end of --help, and of `import zoo`; medians. The largest resident set of a training
of an epoch, and of its export.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import comparison, data
from benchmarks.document import ROOT
from zoo.errors import RunError

MODELS = ("mlp", "convnet")
# Runs train.py with these arguments; ends the process after its first steps.
_STEPS_DONE = 77  # no other end of train.py has this exit code
_FIRST_STEPS = f"""
import os, runpy, sys, wrapt
@wrapt.when_imported("zoo.training.callbacks")
def end_after_a_batch(module):
    module.StepCounter.on_train_batch_end = lambda *_, **__: os._exit({_STEPS_DONE})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments: str, cwd: str, code: int = 0) -> tuple[float, float]:
    """Runs Python; returns its seconds and the peak of its memory in MB.

    Raises:
        RunError: it did not end with the exit code ``code``.
    """
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
    """Returns the median of the seconds of each command, in turns."""
    train, dataset = str(ROOT / "train.py"), f"--dataset={data.directory()}"
    commands = {
        "`import zoo`": (("-c", "import zoo"), 0),
        "`train.py --help`": ((train, "--help"), 0),
    }
    for model in MODELS:
        first = ("-c", _FIRST_STEPS, train, f"--model={model}", dataset)
        name = f"`train.py --model={model}` to its first steps"
        commands[name] = (first, _STEPS_DONE)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (arguments, code) in commands.items():
            fresh = tempfile.mkdtemp(dir=place)
            taken, _ = run(*arguments, cwd=fresh, code=code)
            seconds[name].append(taken)
    return {name: round(statistics.median(v), 3) for name, v in seconds.items()}


def memory(place: str) -> dict[str, int]:
    """Returns the peaks, in MB, of training each model and of exporting it."""
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
    """Returns medians of seconds, and megabytes."""
    with tempfile.TemporaryDirectory() as place:
        peaks = memory(place)  # first: it prepares the data
        return {
            "rounds": rounds,
            "seconds": starting(rounds, place),
            "peak_megabytes": peaks,
        }


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    lines = ["| what | seconds | memory at its peak |\n", "| --- | ---: | ---: |\n"]
    for name, seconds in result["seconds"].items():
        lines.append(f"| {name} | {seconds:.2f} | |\n")
    for name, megabytes in result["peak_megabytes"].items():
        lines.append(f"| {name} | | {megabytes:,} MB |\n")
    return "".join(lines)


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=5)
