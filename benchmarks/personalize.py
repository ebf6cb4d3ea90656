"""Measures learning on the device: models of MNIST adapt to the digits dataset.

Trains mlp, and allconv for 2 epochs, on MNIST. Then each file for learning on the
device learns 10, 50, 200 and 1,000 examples of digits in LiteRT on one thread. Its
weights are read back into Keras and measured on the test splits of digits and of MNIST,
which shows what it gained and what it forgot. Keras is fine-tuned on the same batches
for comparison. Finally an untrained mlp learns MNIST in LiteRT alone.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data, document
from benchmarks.comparison import run_python
from zoo import startup
from zoo.records.rundir import RunDir

ROUNDS = 3  # draws of the examples
RUNS = document.ROOT / "runs" / "personalize"
MODELS = {"mlp": [], "allconv": ["--epochs=2"]}
EXAMPLES = (10, 50, 200, 1000)
LEARNING_RATE = 0.02
FROM_ZERO_RATE = 0.1
# Steps after which the accuracy of the untrained mlp is measured.
MARKS = (0, *(2**power for power in range(5, 14)), 15_000)


def trained(model_name: str) -> RunDir:
    """Trains a model and exports it for learning on the device, once."""
    run = RunDir(RUNS / model_name)
    flags = [f"--model={model_name}", *MODELS[model_name], f"--run_dir={run.path}"]
    flags += [f"--dataset={data.directory()}", "--export=tflite_trainable"]
    run_python("train.py", *flags, "--noplots", stdout=subprocess.DEVNULL)
    return run


def personalize(run: RunDir, digits: Any, draws: int) -> list[dict[str, Any]]:
    """Trains the file of one run on the digits, and Keras on the same batches.

    Returns:
        A row for each number of examples, starting with 0: for ``device`` and ``keras``
        the accuracies and the milliseconds of a step.
    """
    import zoo
    from export.ondevice.learner import Learner
    from export.ondevice.verify import Frozen

    model = zoo.load_run(run.path)
    original, home = model.get_weights(), data.mnist()
    learner = Learner(run.export / "tflite" / "model_trainable.tflite")

    def accuracy(test: Any) -> float:
        logits = model.predict(test.x, batch_size=500, verbose=0)
        return float((logits.argmax(axis=1) == test.y).mean())

    def score(milliseconds: float) -> tuple[float, float, float]:
        return accuracy(digits.test), accuracy(home.test), milliseconds

    def on_device(batches: np.ndarray) -> float:
        learner.reset()
        seconds = _timed(
            lambda x, y: learner.train(x, y, LEARNING_RATE), digits.train, batches
        )
        learned = learner.weights()
        for name, variable in model.parameters().items():
            variable.assign(learned[name])
        return 1000 * seconds / len(batches)

    def in_keras(batches: np.ndarray) -> float:
        model.set_weights(original)
        twin = Frozen(model, digits.train.x[:1], LEARNING_RATE)
        _timed(twin.train_on_batch, digits.train, batches[:1])  # compiles
        seconds = _timed(twin.train_on_batch, digits.train, batches[1:])
        model.set_weights(twin.model.get_weights())
        return 1000 * seconds / (len(batches) - 1)

    rows: list[dict[str, Any]] = [
        {"examples": 0, "steps": 0, "device": [*score(0.0)[:2], None]}
    ]
    for examples in EXAMPLES:
        steps = 50 + examples // 2
        found: dict[str, list] = {"device": [], "keras": []}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            known = rng.permutation(len(digits.train.y))[:examples]
            batches = known[rng.integers(0, examples, (steps, learner.batch_size))]
            found["device"].append(score(on_device(batches)))
            found["keras"].append(score(in_keras(batches)))
            model.set_weights(original)
        rows.append({"examples": examples, "steps": steps})
        for who, scores in found.items():
            one, other, milliseconds = zip(*scores, strict=True)
            rows[-1][who] = [
                round(statistics.mean(one), 5),
                round(statistics.mean(other), 5),
                round(statistics.median(milliseconds), 4),
            ]
    return rows


def _timed(train: Callable[..., Any], split: Any, batches: np.ndarray) -> float:
    """Trains on batches of indices; returns the seconds."""
    began = time.perf_counter()
    for batch in batches:
        train(split.x[batch], split.y[batch])
    return time.perf_counter() - began


def from_zero() -> list[list[float]]:
    """Trains a new mlp in LiteRT; returns steps, seconds and accuracies."""
    import keras

    import zoo
    from export.ondevice import trainable
    from export.ondevice.learner import Learner

    mnist = data.mnist()
    keras.utils.set_random_seed(0)
    shape = mnist.train.x.shape[1:]
    model = zoo.create_model("mlp", input_shape=shape, num_classes=10)
    path = RUNS / "model_trainable.tflite"
    with startup.quiet():
        trainable.write(model, shape, path, train_batch=16, device_optimizer="sgd")
    learner = Learner(path)
    rng, seconds, points = np.random.default_rng(0), 0.0, []
    for before, step in zip((0, *MARKS), MARKS, strict=False):
        rows = rng.integers(0, len(mnist.train.y), (step - before, learner.batch_size))
        seconds += _timed(
            lambda x, y: learner.train(x, y, FROM_ZERO_RATE), mnist.train, rows
        )
        right = learner.infer(mnist.test.x).argmax(axis=1) == mnist.test.y
        points.append([step, round(seconds, 3), round(float(right.mean()), 5)])
    return points


def measure(rounds: int) -> dict[str, Any]:
    """Returns the rows of both tables."""
    startup.start()
    import zoo

    digits = zoo.load_dataset("digits")
    models = {name: personalize(trained(name), digits, rounds) for name in MODELS}
    return {"rounds": rounds, "models": models, "from_zero": from_zero()}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown tables of a result."""
    rows = []
    for name, found in result["models"].items():
        for row in found:
            cells = [name, f"{row['examples']:,}", f"{row['steps']:,}"]
            ways = [row.get(who, [None] * 3) for who in ("device", "keras")]
            for accuracies in ways:
                cells += ["" if a is None else f"{a:.2%}" for a in accuracies[:2]]
            cells += ["" if way[2] is None else f"{way[2]:.2f}" for way in ways]
            rows.append(cells)
    heads = ["model", "examples:", "steps:", "digits:", "its own data:"]
    heads += ["Keras: digits:", "its own data:", "ms per step:", "Keras: ms per step:"]
    points = [
        [f"{step:,}", f"{seconds:.2f}", f"{accuracy:.2%}"]
        for step, seconds, accuracy in result["from_zero"]
    ]
    zero = document.table(["steps:", "seconds:", "accuracy:"], points)
    said = "This table shows an untrained mlp that learns MNIST in LiteRT alone, on one"
    return f"{document.table(heads, rows)}\n{said}\nthread:\n\n{zero}"
