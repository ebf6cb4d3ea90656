"""The compiled train_step alone, called from Python on one batch in memory."""

from __future__ import annotations

import time


def prepare(model_name: str, steps: str, batch_size: str):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    from benchmarks.contestants.zoo_fit import Training

    training = Training(
        model_name, steps=int(steps), batch_size=int(batch_size), plain=True
    )
    import tensorflow as tf  # after Training, which filters its log messages

    model = training.model
    batch = next(iter(training.batches.dataset))
    step = tf.function(model.train_step)

    def work() -> float:
        began = time.perf_counter()
        for _ in range(int(steps)):
            logs = step(batch)
        float(logs["loss"])
        return time.perf_counter() - began

    return work
