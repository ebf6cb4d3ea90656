"""What exact resume costs: backups, the watch over finite values, --deterministic.

    python -m benchmarks.backup --model=mlp --rounds=9

Trainings with and without, interleaved, on MNIST from $MNIST_DIR or on digits. Prints
medians and ratios; what it writes is in a temporary directory.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import tempfile
import time

from zoo import runtime

VARIANTS = ("plain", "watched", "backups", "deterministic")


def measure(model_name: str, rounds: int, steps: int) -> None:
    """Trains in turns, one model and one pipeline per variant; prints the medians."""
    import zoo
    from zoo.models.watch import Watch

    source = os.environ.get("MNIST_DIR", "digits")
    data = zoo.load_dataset(source)
    trainings = {name: _training(model_name, data, steps) for name in VARIANTS[:3]}
    trainings["watched"][0].watch = Watch()
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as directory:
        keeper = _keeper(trainings["backups"], pathlib.Path(directory))
        for round_ in range(rounds + 1):  # the first one traces
            for name in VARIANTS[:3] if round_ % 2 else VARIANTS[2::-1]:
                callbacks = [keeper] if name == "backups" else []
                keeper.step = 0
                taken = _fit(*trainings[name], callbacks)
                seconds[name] += [taken] if round_ else []
        keeper.step = steps
        began = time.perf_counter()
        keeper.save()
        cost = time.perf_counter() - began
    _deterministic(model_name, data, steps, rounds, seconds)
    plain = statistics.median(seconds["plain"])
    print(f"{model_name}, {source}, {steps} steps, median of {rounds}")
    for name in VARIANTS:
        ratio = statistics.median(
            a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)
        )
        print(f"  {name:<14} {statistics.median(seconds[name]):7.3f} s  x {ratio:.4f}")
    every = max(30.0, 60 * cost)
    print(f"  one backup     {cost:7.3f} s: every {every:.0f} s, {cost / every:.2%}")
    print(f"  plain          {plain / steps * 1e3:7.3f} ms a step")


def _training(model_name: str, data, steps: int, op_determinism: bool = False):
    import zoo
    from zoo.data import pipeline

    recipe = zoo.get_recipe(model_name).override(epochs=1, steps_per_epoch=steps)
    plan = pipeline.make_plan(recipe, data.spec.num_train)
    model = zoo.create_model(
        model_name,
        input_shape=data.spec.input_shape,
        num_classes=data.spec.num_classes,
        recipe=recipe,
        steps=plan.steps,
        steps_per_execution=min(recipe.steps_per_execution, steps),
    )
    batches = pipeline.TrainingBatches(
        data.train, plan, recipe, seed=0, op_determinism=op_determinism
    )
    return model, batches, plan


def _keeper(training, directory: pathlib.Path):
    from zoo.callbacks import Bookkeeper
    from zoo.interrupts import Stop
    from zoo.rundir import RunDir

    model, batches, plan = training
    keeper = Bookkeeper(
        RunDir(directory), plan, batches, stop=Stop(), backup_steps=None, again=""
    )
    keeper.restore(model)
    return keeper


def _fit(model, batches, plan, callbacks) -> float:
    batches.start_at(0)
    began = time.perf_counter()
    model.fit(batches.dataset, shuffle=False, verbose=0, callbacks=callbacks)
    return time.perf_counter() - began


def _deterministic(model_name, data, steps, rounds, seconds) -> None:
    # Last: it cannot be switched off again.
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    training = _training(model_name, data, steps, op_determinism=True)
    _fit(*training, [])
    seconds["deterministic"] = [_fit(*training, []) for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    runtime.start()
    measure(options.model, options.rounds, options.steps)


if __name__ == "__main__":
    main()
