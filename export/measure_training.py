"""What a step of learning costs in a process that has LiteRT and nothing else.

python -m export.measure_training model_trainable.tflite DIRECTORY

Reads weights.npz and data.npz (images, x, y) in the directory and writes answers.npy:
what the file answers to the images with those weights. Prints the costs as JSON.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
import time

import numpy as np
import psutil

from zoo.learner import Learner

WARM_UP = 3
STEPS = 30
SECONDS = 3.0


def measure(path: pathlib.Path, directory: pathlib.Path) -> dict[str, float]:
    """Restores, answers, and learns at one thread for at most about 3 seconds.

    Returns:
        ``step_ms``, the median of a step, ``step_threads``, and ``memory_bytes``, by
        how much the process has grown since before the file was loaded.
    """
    data, weights = (
        dict(np.load(directory / name)) for name in ("data.npz", "weights.npz")
    )
    process = psutil.Process()
    before = process.memory_info().rss
    learner = Learner(path, threads=1)
    # First, since the weights are its own no longer after a step.
    learner.restore(weights)
    np.save(directory / "answers.npy", learner.infer(data["images"]))
    peak, milliseconds = process.memory_info().rss, []
    began = time.perf_counter()
    for step in range(WARM_UP + STEPS):
        start = time.perf_counter()
        learner.train(data["x"], data["y"], 1e-3)
        if step >= WARM_UP:
            milliseconds.append(1000 * (time.perf_counter() - start))
        peak = max(peak, process.memory_info().rss)
        if milliseconds and time.perf_counter() - began > SECONDS:
            break
    return {
        "step_ms": round(statistics.median(milliseconds), 4),
        "step_threads": 1,
        "memory_bytes": peak - before,
    }


if __name__ == "__main__":
    print(json.dumps(measure(*map(pathlib.Path, sys.argv[1:]))))
