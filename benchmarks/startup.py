"""Seconds of starting, and memory at the peak.

    python -m benchmarks.startup --rounds=5

From the command to the first training step with prepared data, to the end of --help,
of `import zoo`; and the peak of memory of training and of exporting.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import data

ROOT = pathlib.Path(__file__).parents[1]
# Runs train.py with these arguments; ends the process after the first execution.
_FIRST_STEP = """
import os, runpy, sys
import zoo.callbacks
zoo.callbacks.Bookkeeper.on_train_batch_end = lambda *_, **__: os._exit(0)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments: str, cwd: str | os.PathLike[str]) -> tuple[float, float]:
    """Runs Python; returns its seconds and the peak of its memory in MB."""
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
    if process.returncode:
        raise SystemExit(f"Error: {arguments} failed.")
    return seconds, usage.ru_maxrss / 1024


def measure(rounds: int) -> dict[str, Any]:
    """Returns medians of seconds, and megabytes."""
    train, dataset = str(ROOT / "train.py"), f"--dataset={data.directory()}"
    seconds: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        for model in ("mlp", "convnet"):
            flags = (f"--model={model}", dataset, f"--run_dir={model}", "--epochs=1")
            memory[f"{model}: training"] = run(
                train, *flags, "--export=none", cwd=place
            )[1]
            export = ("-m", "export", f"--run_dir={model}")
            memory[f"{model}: exporting"] = run(*export, cwd=place)[1]
        for _ in range(rounds):
            for name, arguments in {
                "import zoo": ("-c", "import zoo"),
                "train.py --help": (train, "--help"),
                "first step, mlp": ("-c", _FIRST_STEP, train, "--model=mlp", dataset),
                "first step, convnet": (
                    *("-c", _FIRST_STEP, train, "--model=convnet", dataset),
                ),
            }.items():
                fresh = tempfile.mkdtemp(dir=place)
                seconds.setdefault(name, []).append(run(*arguments, cwd=fresh)[0])
    return {
        "seconds": {k: round(statistics.median(v), 3) for k, v in seconds.items()},
        "peak_megabytes": {name: round(peak) for name, peak in memory.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().rounds), indent=2))


if __name__ == "__main__":
    main()
