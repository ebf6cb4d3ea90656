"""Measures learning on the device: models of MNIST adapt to the digits dataset.
    python -m export --run_dir=runs/mlp-mnist --formats=tflite_trainable
    python -m benchmarks.personalize runs/mlp-mnist runs/allconv-mnist

Each file learns 10, 50, 200 and 1,000 examples of digits in LiteRT on one thread. Then
its weights are read back into Keras and measured on the test splits of digits and of
the data it was trained on, which shows what it gained and what it forgot. Keras is
fine-tuned on the same batches for comparison. Finally an untrained mlp learns the first
run's data in LiteRT alone. Writes benchmarks/results/personalize.json and .png, and the
tables of the documents.
"""

from __future__ import annotations

import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np

from benchmarks import document
from zoo import console, files, startup
from zoo.commands import flags
from zoo.errors import UserError
from zoo.records.rundir import finished_run

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "personalize.json"
EXAMPLES = (10, 50, 200, 1000)
SEEDS = 3
LEARNING_RATE = 0.02
FROM_ZERO_RATE = 0.1
FROM_ZERO_STEPS = 15_000


def personalize(run_dir: str, digits: Any) -> dict[str, Any]:
    """Trains the file of one run on the digits, and Keras on the same batches.

    Returns:
        ``model``, ``data`` and ``rows``. There is a row for each number of examples,
        starting with 0, with the accuracies and seconds of each seed.
    """
    from export.ondevice.learner import Learner
    from zoo.runs import run as outcome

    run = finished_run(run_dir)
    path = run.export / "tflite" / "model_trainable.tflite"
    if not path.exists():
        raise UserError(
            f"{path} is missing. python -m export --run_dir={run.path} "
            "--formats=tflite_trainable"
        )
    model = outcome.load_run(run.path)
    original = model.get_weights()
    home = outcome.run_dataset(run)
    learner = Learner(path)

    def accuracies() -> dict[str, float]:
        def accuracy(test: Any) -> float:
            logits = model.predict(test.x, batch_size=500, verbose=0)
            return float((logits.argmax(axis=1) == test.y).mean())

        return {"digits": accuracy(digits.test), "home": accuracy(home.test)}

    def take_over(weights: dict[str, np.ndarray]) -> None:
        for name, variable in zip(
            model.parameter_names, model.trainable_weights, strict=True
        ):
            variable.assign(weights[name])

    rows: list[dict[str, Any]] = [{"examples": 0, "steps": 0, "device": [accuracies()]}]
    for examples in EXAMPLES:
        steps = 50 + examples // 2
        row = {"examples": examples, "steps": steps, "device": [], "keras": []}
        for seed in range(SEEDS):
            rng = np.random.default_rng(seed)
            known = rng.permutation(len(digits.train.y))[:examples]
            batches = known[rng.integers(0, examples, (steps, learner.batch_size))]
            seconds = _learn_on_device(learner, digits.train, batches)
            take_over(learner.weights())
            row["device"].append({**accuracies(), "seconds": seconds})
            model.set_weights(original)
            seconds = _learn_in_keras(model, digits.train, batches)
            row["keras"].append({**accuracies(), "seconds": seconds})
            model.set_weights(original)
        rows.append(row)
        print(f"{model.name}: {examples} examples learned", flush=True)
    return {"model": model.name, "data": home.spec.name, "rows": rows}


def _learn_on_device(learner: Any, train: Any, batches: np.ndarray) -> float:
    """Trains the exported file on batches of indices; returns the seconds."""
    learner.reset()
    began = time.perf_counter()
    for batch in batches:
        learner.train(train.x[batch], train.y[batch], LEARNING_RATE)
    return time.perf_counter() - began


def _learn_in_keras(model: Any, train: Any, batches: np.ndarray) -> float:
    """Trains the model on batches of indices; returns the seconds without compiling."""
    from export.ondevice import verify as verify_training

    twin = verify_training.Frozen(model, train.x[:1], LEARNING_RATE)
    first, *others = batches
    twin.train_on_batch(train.x[first], train.y[first])
    began = time.perf_counter()
    for batch in others:
        twin.train_on_batch(train.x[batch], train.y[batch])
    seconds = time.perf_counter() - began
    model.set_weights(twin.model.get_weights())
    return seconds * len(batches) / len(others)


def from_zero(run_dir: str) -> dict[str, Any]:
    """Trains a new mlp on the run's data in LiteRT; returns accuracy over seconds."""
    import keras

    import zoo
    from export.ondevice import trainable as tflite_trainable
    from export.ondevice.learner import Learner
    from zoo.runs import run as outcome

    run = finished_run(run_dir)
    data = outcome.run_dataset(run)
    spec = data.spec
    keras.utils.set_random_seed(0)
    model = zoo.create_model(
        "mlp", input_shape=spec.input_shape, num_classes=spec.num_classes
    )
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model_trainable.tflite"
        with startup.quiet():
            tflite_trainable.write(
                model,
                spec.input_shape,
                path,
                train_batch=16,
                device_optimizer="sgd",
            )
        learner = Learner(path)
        marks = {0, *(int(2**power) for power in np.arange(5, 14)), FROM_ZERO_STEPS}
        rng, seconds, points = np.random.default_rng(0), 0.0, []
        for step in range(FROM_ZERO_STEPS + 1):
            if step in marks:
                right = learner.infer(data.test.x).argmax(axis=1) == data.test.y
                points.append(
                    {"step": step, "seconds": seconds, "accuracy": float(right.mean())}
                )
            rows = rng.integers(0, len(data.train.y), learner.batch_size)
            x, y = data.train.x[rows], data.train.y[rows]
            began = time.perf_counter()
            learner.train(x, y, FROM_ZERO_RATE)
            seconds += time.perf_counter() - began
    return {"model": "mlp", "data": spec.name, "points": points}


def table(results: dict[str, Any]) -> str:
    """Returns the Markdown table of personalization."""
    lines = [
        "| model | examples | steps | digits | its own data | Keras: digits | "
        "its own data | ms per step | Keras: ms per step |\n",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    ]
    for result in results["runs"]:
        for row in result["rows"]:
            cells = [f"{result['model']}", f"{row['examples']:,}", f"{row['steps']:,}"]
            for who in ("device", "keras"):
                for what in ("digits", "home"):
                    values = [100 * one[what] for one in row.get(who, [])]
                    cells.append(f"{statistics.mean(values):.2f}%" if values else "")
            for who in ("device", "keras"):
                times = [1000 * one.get("seconds", 0.0) for one in row.get(who, [])]
                known = times and row["steps"]
                each = statistics.median(times) / row["steps"] if known else 0.0
                cells.append(f"{each:.2f}" if known else "")
            lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)


def zero_table(results: dict[str, Any]) -> str:
    """Returns the Markdown table of learning from zero."""
    lines = ["| steps | seconds | accuracy |\n", "| ---: | ---: | ---: |\n"]
    for point in results["from_zero"]["points"]:
        lines.append(
            f"| {point['step']:,} | {point['seconds']:.2f} | "
            f"{100 * point['accuracy']:.2f}% |\n"
        )
    return "".join(lines)


def plot(results: dict[str, Any], path: pathlib.Path) -> None:
    """Draws accuracy against examples, and against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for color, result in enumerate(results["runs"]):
        for what, style, label in (
            ("digits", "o-", "digits"),
            ("home", "s--", result["data"]),
        ):
            x = [max(row["examples"], 1) for row in result["rows"]]
            values = [
                [100 * one[what] for one in row["device"]] for row in result["rows"]
            ]
            middle = [statistics.mean(value) for value in values]
            spread = [
                [m - min(v) for m, v in zip(middle, values, strict=True)],
                [max(v) - m for m, v in zip(middle, values, strict=True)],
            ]
            left.errorbar(
                x,
                middle,
                yerr=spread,
                fmt=style,
                color=f"C{color}",
                capsize=3,
                label=f"{result['model']} on {label}",
            )
    left.set_xscale("log")
    ticks = [1, *EXAMPLES]
    left.set_xticks(ticks, ["none", *(f"{n:,}" for n in EXAMPLES)])
    left.minorticks_off()
    left.set_xlabel("examples of digits learned on the device")
    left.set_ylabel("test accuracy (%)")
    left.set_title("Adapting to digits: mean and range of three draws")
    left.grid(alpha=0.3)
    # The legend is below the axes, where it covers no error bar.
    left.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    points = results["from_zero"]["points"][1:]
    right.plot(
        [point["seconds"] for point in points],
        [100 * point["accuracy"] for point in points],
        "o-",
    )
    right.set_xscale("log")
    right.set_xlabel("training time in LiteRT, one thread (s)")
    right.set_ylabel("test accuracy (%)")
    zero = results["from_zero"]
    right.set_title(f"From scratch: {zero['model']} on {zero['data']}, batch 16")
    right.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def main(argv: list[str]) -> None:
    """Measures the named runs and rewrites the results, the plot and the tables."""
    runs = flags.parse(argv, __doc__, flags.Flags())
    if not runs:
        raise UserError(
            "Name finished runs on MNIST, such as runs/mlp-mnist. Received: nothing."
        )
    for run in runs:
        finished_run(run)
    startup.start()
    import zoo

    digits = zoo.load_dataset("digits")
    results = {
        "runs": [personalize(run, digits) for run in runs],
        "from_zero": from_zero(runs[0]),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    files.write_json(RESULTS, results)
    plot(results, RESULTS.with_suffix(".png"))
    tables = {"personalize": table(results), "from zero": zero_table(results)}
    for name, text in tables.items():
        document.rewrite(document.where(name), name, text)


if __name__ == "__main__":
    console.main(main)
