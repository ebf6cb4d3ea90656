"""How time grows with the number of examples and with the size of a batch.

    python -m benchmarks.growth --model=mlp

MNIST 1, 10 and 100 times over: seconds of an epoch; and examples/s for batches of 16
to 1,024. Sizes in turns; medians. Draws both into benchmarks/growth.png.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.turns import interleaved
from zoo import runtime

PICTURE = pathlib.Path(__file__).with_name("growth.png")
REPETITIONS = (1, 10, 100)
BATCHES = (16, 32, 64, 128, 256, 512, 1024)


def measure(model_name: str, rounds: int) -> dict[str, Any]:
    """Returns seconds of an epoch by repetitions, and examples/s by batch."""
    train = data.mnist().train
    repeated = {
        times: _epoch(model_name, np.tile(train.x, (times, 1, 1, 1)), times, train.y)
        for times in REPETITIONS
    }
    batches = {
        size: _epoch(model_name, train.x, 1, train.y, batch_size=size, steps=100)
        for size in BATCHES
    }
    by_examples = interleaved(repeated, rounds)
    by_batch = interleaved(batches, rounds)
    return {
        "model": model_name,
        "seconds_of_an_epoch": {
            times * len(train.y): round(statistics.median(taken), 3)
            for times, taken in by_examples.items()
        },
        "examples_per_second": {
            size: round(100 * size / statistics.median(taken))
            for size, taken in by_batch.items()
        },
    }


def _epoch(model_name, images, times, labels, *, batch_size=128, steps=None):
    """Returns a function that trains an epoch and answers with its seconds."""
    import zoo
    from zoo.data import pipeline
    from zoo.data.spec import Split

    split = Split(images, np.tile(labels, times))
    recipe = zoo.get_recipe(model_name).override(
        epochs=1, batch_size=batch_size, steps_per_epoch=steps, augment={}
    )
    plan = pipeline.make_plan(recipe, len(split.y))
    model = zoo.create_model(
        model_name,
        input_shape=images.shape[1:],
        num_classes=10,
        recipe=recipe,
        steps=plan.steps,
        steps_per_execution=recipe.steps_per_execution,
    )
    batches = pipeline.TrainingBatches(split, plan, recipe, seed=0)

    def work() -> float:
        batches.start_at(0)
        began = time.perf_counter()
        model.fit(batches.dataset, shuffle=False, verbose=0)
        return time.perf_counter() - began

    return work


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Draws both curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2), dpi=150)
    examples, seconds = zip(*result["seconds_of_an_epoch"].items(), strict=True)
    left.loglog(examples, seconds, "o-", label="measured")
    straight = [seconds[0] * count / examples[0] for count in examples]
    left.loglog(examples, straight, "k:", label="in proportion to the first")
    left.set(xlabel="examples", ylabel="seconds of an epoch")
    left.legend(frameon=False)
    sizes, rates = zip(*result["examples_per_second"].items(), strict=True)
    right.semilogx(sizes, rates, "o-", base=2)
    right.set(xlabel="batch size", ylabel="examples/s", ylim=(0, None))
    right.set_xticks(sizes, [str(size) for size in sizes])
    figure.suptitle(f"{result['model']} on MNIST")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runtime.start()
    result = measure(options.model, options.rounds)
    draw(result, PICTURE)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
