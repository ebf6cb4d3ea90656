"""Measures time against the number of examples and against the batch size.

    python -m benchmarks.growth --rounds=3

Measures the seconds of an epoch of mlp on MNIST repeated 1, 10 and 100 times in
memory, and the examples/s of training with batches of 16 to 1,024. Contestants take
turns; medians are reported, except for the two long epochs, which are trained once.
`python -m benchmarks growth` also draws both into benchmarks/results/growth.png.
"""

from __future__ import annotations

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import comparison, data
from benchmarks.document import ROOT
from benchmarks.turns import interleaved
from zoo import files, startup

PICTURE = ROOT / "benchmarks" / "results" / "growth.png"
REPETITIONS = (1, 10, 100)
MODEL = "mlp"  # the model trained on repeated data
# The models trained with several batch sizes, with enough steps to outweigh the cost
# of starting fit.
STEPS = {"mlp": 400, "convnet": 30}
BATCHES = (16, 32, 64, 128, 256, 512, 1024)


def measure(rounds: int) -> dict[str, Any]:
    """Returns seconds of an epoch by examples, and examples/s by model and batch."""
    startup.start()
    import tensorflow as tf

    # TensorFlow mistakes many models for one model that is retraced, and warns.
    tf.get_logger().setLevel("ERROR")
    return {
        "rounds": rounds,
        "model": MODEL,
        "seconds_of_an_epoch": by_examples(rounds),
        "examples_per_second": {name: by_batch(name, rounds) for name in STEPS},
    }


def by_examples(rounds: int) -> dict[str, float]:
    """Returns the seconds of an epoch by the number of examples."""
    train, seconds = data.mnist().train, {}
    for times in REPETITIONS:
        epoch = _epoch(MODEL, _repeated(train, times))
        taken = [epoch() for _ in range(rounds if times == 1 else 1)]
        seconds[str(times * len(train.y))] = round(statistics.median(taken), 3)
    return seconds


def _repeated(split: Any, times: int) -> Any:
    from zoo.data.dataset import Split

    return Split(np.tile(split.x, (times, 1, 1, 1)), np.tile(split.y, times))


def by_batch(model_name: str, rounds: int) -> dict[str, int]:
    """Returns the examples/s of a model by the batch size."""
    train, steps = data.mnist().train, STEPS[model_name]
    works = {
        str(size): _epoch(model_name, train, batch_size=size, steps_per_epoch=steps)
        for size in BATCHES
    }
    return {
        size: round(steps * int(size) / statistics.median(taken))
        for size, taken in interleaved(works, rounds).items()
    }


def _epoch(model_name: str, split: Any, **overrides: Any) -> Callable[[], float]:
    """Returns a function that trains an epoch and returns its seconds."""
    import zoo
    from zoo.data import pipeline

    recipe = zoo.get_recipe(model_name).override(epochs=1, augment={}, **overrides)
    plan = pipeline.make_plan(recipe, len(split.y))
    model = zoo.create_model(
        model_name,
        input_shape=split.x.shape[1:],
        num_classes=10,
        recipe=recipe,
        steps=plan.steps,
        steps_per_execution=min(recipe.steps_per_execution, plan.steps_per_epoch),
    )
    batches = pipeline.TrainingBatches(split, plan, recipe, seed=0)
    compiling = batches.take(recipe.steps_per_execution)
    model.fit(compiling, shuffle=False, verbose=0)

    def work() -> float:
        began = time.perf_counter()
        model.fit(batches.dataset, shuffle=False, verbose=0)
        return time.perf_counter() - began

    return work


def draw(result: dict[str, Any], path: pathlib.Path = PICTURE) -> None:
    """Draws both measurements into a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    seconds = [*result["seconds_of_an_epoch"].values()]
    examples = [int(count) for count in result["seconds_of_an_epoch"]]
    left.loglog(examples, seconds, "o-", label="measured")
    straight = [seconds[0] * count / examples[0] for count in examples]
    left.loglog(examples, straight, "k:", label="proportional to the first")
    left.set(
        xlabel="training examples",
        ylabel="time of an epoch (s)",
        title=f"Time of an epoch of {result['model']}",
    )
    left.legend(frameon=False)
    for name, rates in result["examples_per_second"].items():
        right.loglog([int(size) for size in rates], rates.values(), "o-", label=name)
    right.set(
        xlabel="batch size (examples)",
        ylabel="training examples/s",
        title="Training speed",
    )
    right.set_xticks(BATCHES, [str(size) for size in BATCHES])
    right.minorticks_off()
    right.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    with files.replacing(path) as beside:
        figure.savefig(beside, dpi=100)


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown tables of a result."""
    lines = [
        "| examples | seconds per epoch | microseconds per example |\n",
        "| ---: | ---: | ---: |\n",
    ]
    for examples, seconds in result["seconds_of_an_epoch"].items():
        each = 1e6 * seconds / int(examples)
        lines.append(f"| {int(examples):,} | {seconds:.2f} | {each:.1f} |\n")
    rates = result["examples_per_second"]
    lines += [
        f"\n| batch size | {' | '.join(f'{name}, examples/s' for name in rates)} |\n",
        f"| ---: {'| ---: ' * len(rates)}|\n",
    ]
    for size in next(iter(rates.values())):
        cells = (f"{found[size]:,}" for found in rates.values())
        lines.append(f"| {int(size):,} | {' | '.join(cells)} |\n")
    return "".join(lines)


if __name__ == "__main__":
    comparison.main(measure, __doc__, rounds=3)
