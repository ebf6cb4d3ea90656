"""What exact resume costs: backups, the watch over finite values, --deterministic.

    python -m benchmarks.backup --model=mlp --rounds=9

Epochs with and without, interleaved, on MNIST from $MNIST_DIR or on digits: the one of
"backups" ends with a row of metrics.csv and a backup. Prints medians and ratios; what
it writes is in a temporary directory.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from zoo import runtime

VARIANTS = ("plain", "watched", "backups", "deterministic")


def measure(model_name: str, rounds: int, steps: int | None) -> None:
    """Trains in turns, one model and one pipeline per variant; prints the medians."""
    from zoo.models.watch import Watch

    source, data = _data()
    trainings = {name: _training(model_name, data, steps) for name in VARIANTS[:3]}
    trainings["watched"][0].watch = Watch()
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as directory, _peer(model_name, steps) as peer:
        keeper = _keeper(trainings["backups"], pathlib.Path(directory))

        def fit(name: str) -> float:
            if name == "deterministic":
                return peer()
            keeper.step = 0
            return _fit(*trainings[name], [keeper] if name == "backups" else [])

        for round_ in range(rounds + 1):  # the first one traces
            for name in VARIANTS if round_ % 2 else reversed(VARIANTS):
                taken = fit(name)
                seconds[name] += [taken] if round_ else []
        costs = []
        for _ in range(rounds):
            began = time.perf_counter()
            keeper.save()
            costs.append(time.perf_counter() - began)
    steps = trainings["plain"][2].steps_per_epoch
    _print(f"{model_name}, {source}, {steps} steps, median of {rounds}", seconds)
    cost, plain = statistics.median(costs), statistics.median(seconds["plain"])
    print(f"  one backup     {cost:7.3f} s: {cost / plain:.2%} of an epoch")


def _print(title: str, seconds: dict[str, list[float]]) -> None:
    print(title)
    for name in VARIANTS:
        ratio = statistics.median(
            a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)
        )
        print(f"  {name:<14} {statistics.median(seconds[name]):7.3f} s  x {ratio:.4f}")


def _data():
    import zoo

    source = os.environ.get("MNIST_DIR", "digits")
    return pathlib.Path(source).name, zoo.load_dataset(source)


@contextlib.contextmanager
def _peer(model_name: str, steps: int | None) -> Iterator[Callable[[], float]]:
    """A process of its own for what cannot be switched off again."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.backup", "--deterministic"]
        + [f"--model={model_name}"]
        + ([f"--steps={steps}"] if steps else []),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def fit() -> float:
        process.stdin.write("fit\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    try:
        yield fit
    finally:
        process.kill()
        process.communicate()


def serve_deterministic(model_name: str, steps: int | None) -> None:
    """Trains once for each line of standard input; prints the seconds."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    training = _training(model_name, _data()[1], steps, op_determinism=True)
    for _ in sys.stdin:
        print(_fit(*training, []), flush=True)


def _training(model_name: str, data, steps: int | None, op_determinism: bool = False):
    import zoo
    from zoo.data import pipeline

    recipe = zoo.get_recipe(model_name).override(epochs=2, steps_per_epoch=steps)
    plan = pipeline.make_plan(recipe, data.spec.num_train)
    model = zoo.create_model(
        model_name,
        input_shape=data.spec.input_shape,
        num_classes=data.spec.num_classes,
        recipe=recipe,
        steps=plan.steps,
        steps_per_execution=min(recipe.steps_per_execution, plan.steps_per_epoch),
    )
    batches = pipeline.TrainingBatches(
        data.train, plan, recipe, seed=0, op_determinism=op_determinism
    )
    return model, batches, plan


def _keeper(training, directory: pathlib.Path):
    from zoo.callbacks import Bookkeeper
    from zoo.distribute import Placement
    from zoo.interrupts import Stop
    from zoo.rundir import RunDir

    model, batches, plan = training
    keeper = Bookkeeper(
        RunDir(directory),
        plan,
        batches,
        _data()[1],
        stop=Stop(),
        backup_steps=None,
        again="",
        placement=Placement("one"),
    )
    keeper.restore(model)
    return keeper


def _fit(model, batches, plan, callbacks) -> float:
    batches.start_at(0)
    began = time.perf_counter()
    model.fit(batches.dataset, shuffle=False, verbose=0, callbacks=callbacks)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, help="of an epoch; default: one pass")
    parser.add_argument("--deterministic", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    runtime.start()
    if options.deterministic:
        serve_deterministic(options.model, options.steps)
        return
    measure(options.model, options.rounds, options.steps)


if __name__ == "__main__":
    main()
