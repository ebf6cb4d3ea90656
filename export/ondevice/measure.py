"""Measures the cost of a training step in a process that has only LiteRT.

python -m export.ondevice.measure model_trainable.tflite

Reads a pickled dict from stdin: ``weights`` by name, ``images`` to classify, and ``x``
and ``y`` to train on. Writes the dict that ``measure`` returns to stdout, pickled.
"""

from __future__ import annotations

import pickle
import statistics
import sys
import time
from typing import Any

import psutil

from export.ondevice.learner import Learner

WARM_UP = 3
STEPS = 30
SECONDS = 3.0


def measure(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """Restores weights, classifies, and trains on one thread for at most about 3 s.

    Returns:
        ``answers``, the probabilities of the images; ``step_ms``, the median time of a
        step; ``step_threads``; and ``memory_bytes``, the growth of the process since
        before the file was loaded.
    """
    process = psutil.Process()
    memory = [process.memory_info().rss]
    milliseconds: list[float] = []
    learner = Learner(path)
    # Classify before the training changes the weights.
    learner.restore(given["weights"])
    answers = learner.infer(given["images"])
    began = time.perf_counter()
    while len(milliseconds) < WARM_UP + STEPS:
        start = time.perf_counter()
        if len(milliseconds) > WARM_UP and start - began > SECONDS:
            break
        learner.train(given["x"], given["y"], 1e-3)
        milliseconds.append(1000 * (time.perf_counter() - start))
        memory.append(process.memory_info().rss)
    return {
        "answers": answers,
        "step_ms": round(statistics.median(milliseconds[WARM_UP:]), 4),
        "step_threads": 1,
        "memory_bytes": max(memory) - memory[0],
    }


if __name__ == "__main__":
    measured = measure(sys.argv[1], pickle.load(sys.stdin.buffer))
    sys.stdout.buffer.write(pickle.dumps(measured))
