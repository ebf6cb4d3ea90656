"""Trains the models of the tables of results, and writes the tables.

    python -m benchmarks.accuracy               trains all models, or resumes
    python -m benchmarks.accuracy --only=mlp    trains one model
    python -m benchmarks.accuracy --collect     only reads the runs in runs/results

Trains with three seeds, on MNIST from $MNIST_DIR, on digits, and on CIFAR-10 from
$CIFAR10_DIR, and then exports the run of the first seed. Writes zoo/results.csv and the
tables of results.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import statistics
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import zoo
from benchmarks import document
from benchmarks.comparison import run_python
from export import records
from export.formats import TFLITE_FILES
from zoo import console, files, startup
from zoo.commands import flags
from zoo.records import results
from zoo.records.rundir import RunDir

RUNS = document.ROOT / "runs" / "results"
SEEDS = (0, 1, 2)
# Recipes that repeat the tutorials are compared with them, not ranked.
RECIPES = ("default", "best", "fast", "tiny", "photos")
#: Variables that name the directories of datasets. Without them, TFDS is used.
DIRECTORIES = {"mnist": "MNIST_DIR", "cifar10": "CIFAR10_DIR"}
SHAPES = {"mnist": (28, 28, 1), "digits": (28, 28, 1), "cifar10": (32, 32, 3)}
#: Flags for trainings on a dataset, in addition to the recipe.
HOW = {"cifar10": {"precision": "mixed_bfloat16"}}
#: Exported files in the order of the columns of results.csv.
ARTIFACTS = ("saved_model", *TFLITE_FILES)
#: The published figures of MLPerf Tiny's networks for the same 10,000 images.
PUBLISHED = (
    ("MLPerf Tiny, ResNet-8", "78,000", "87.2%", "87.0%", "", ""),
    ("MLPerf Tiny, larger network", "480,000", "91.3%", "91.3%", "", ""),
)
#: The heads of the columns that say what a row is about.
KEY = ("model", "recipe", "dataset")

FLAGS = flags.Flags()
FLAGS.string("only", None, "Model to train; default: all.")
FLAGS.boolean("collect", False, "Train nothing; only read finished runs.")


def combinations(only: str | None) -> list[tuple[str, str, str]]:
    """Returns the rows of the table: (model, recipe, dataset)."""
    return [
        (model, recipe, dataset)
        for model in zoo.list_models()
        for recipe in zoo.list_recipes(model)
        for dataset in datasets(model, recipe)
        if recipe in RECIPES and only in (None, model)
    ]


def datasets(model: str, recipe: str) -> tuple[str, ...]:
    """Returns the datasets for a recipe; digits do not suit recipes that mirror."""
    if "flip" in zoo.get_recipe(model, recipe).augment:
        return ("cifar10",)
    return ("mnist", "digits") if recipe == "default" else ("mnist",)


def run_dir(model: str, recipe: str, dataset: str, seed: int) -> RunDir:
    """Returns the directory of one of the runs that the table is made from."""
    return RunDir(RUNS / f"{model}-{recipe}-{dataset}-seed{seed}")


def train(model: str, recipe: str, dataset: str, seed: int) -> None:
    """Runs train.py, which does nothing if the run is finished."""
    source = os.environ.get(DIRECTORIES.get(dataset, ""), dataset)
    flags = {"model": model, "recipe": recipe, "dataset": source, "seed": seed}
    flags |= {"run_dir": run_dir(model, recipe, dataset, seed).path, "export": "none"}
    flags |= HOW.get(dataset, {})
    run_python("train.py", *(f"--{name}={value}" for name, value in flags.items()))


def export(model: str, recipe: str, dataset: str) -> None:
    """Exports the run of the first seed unless that was done before."""
    first = run_dir(model, recipe, dataset, SEEDS[0])
    if not exported(first):
        run_python("-m", "export", f"--run_dir={first.path}")


def exported(run: RunDir) -> dict[str, records.Artifact]:
    """Returns the records of the exported files by name."""
    content = records.read(run.export)
    return {each.name: each for each in content.artifacts} if content else {}


def fingerprint(settings: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Returns a short hash of a recipe's settings and its model's ``get_config()``."""
    text = json.dumps([settings, model], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def current(model: str, recipe: str, dataset: str) -> str:
    """Returns the fingerprint of a recipe and its architecture in this version."""
    settings = zoo.get_recipe(model, recipe)
    made = zoo.create_model(
        model, input_shape=SHAPES[dataset], num_classes=10, recipe=settings
    )
    return fingerprint(settings.to_json(), made.get_config())


def followed(run: RunDir) -> str:
    """Returns the fingerprint of the recipe and the architecture of a finished run."""
    with zipfile.ZipFile(run.model) as archive:
        made = json.loads(archive.read("config.json"))["config"]
    config = run.read_config()
    kept_apart = {"steps_per_execution": config.get("steps_per_execution")}
    return fingerprint(kept_apart | config["identity"]["settings"], made)


def collect(model: str, recipe: str, dataset: str) -> results.Result | None:
    """Returns a row of the table from the finished runs; None if there is none.

    Runs of an earlier version of the recipe or architecture are left out. Time and
    exported files are those of the first seed with a finished run.
    """
    settings = current(model, recipe, dataset)
    every = (run_dir(model, recipe, dataset, seed) for seed in SEEDS)
    runs = [run for run in every if run.finished and followed(run) == settings]
    if not runs:
        return None
    found = [run.read_result() for run in runs]
    accuracies = [result["test"]["accuracy"] for result in found]
    started = max(run.read_config()["started"] for run in runs)
    return results.Result(
        model=model,
        recipe=recipe,
        dataset=dataset,
        settings=settings,
        seeds=len(runs),
        accuracy=round(statistics.mean(accuracies), 6),
        lowest=round(min(accuracies), 6),
        highest=round(max(accuracies), 6),
        parameters=found[0]["num_params"],
        seconds=round(found[0]["train_seconds"], 1),
        cpus=found[0]["cpus"],
        artifacts={
            name: results.FileResult(
                file.bytes,
                round(file.accuracy, 6),
                round(file.latency_ms["median"], 4),
            )
            for name, file in exported(runs[0]).items()
            if name in ARTIFACTS
        },
        tensorflow=found[0]["versions"]["tensorflow"],
        keras=found[0]["versions"]["keras"],
        date=started[:10],
    )


def save(rows: Sequence[results.Result]) -> None:
    """Writes zoo/results.csv: a line for each row, three columns for each file."""
    lines = []
    for row in rows:
        line = dataclasses.asdict(row)
        artifacts = line.pop("artifacts")
        for name in ARTIFACTS:
            for column in ("bytes", "accuracy", "ms"):
                line[f"{name}_{column}"] = artifacts.get(name, {}).get(column, "")
        lines.append(line)
    files.write_csv(results.PATH, lines)


def table(rows: Sequence[results.Result]) -> str:
    """Returns the table of all trainings, in Markdown."""
    heads = [*KEY, "seeds:", "test accuracy:"]
    heads += ["lowest to highest:", "parameters:", "training:"]
    cells = [
        [
            *_key(row),
            str(row.seeds),
            f"{row.accuracy:.2%}",
            f"{row.lowest:.2%} to {row.highest:.2%}",
            f"{row.parameters:,}",
            _time(row),
        ]
        for row in rows
    ]
    return document.table(heads, cells)


def short_table(rows: Sequence[results.Result]) -> str:
    """Returns the README's table, in Markdown: each recipe on its main dataset."""
    heads = [*KEY, "test accuracy:", "parameters:", "training:"]
    cells = [
        [*_key(row), f"{row.accuracy:.2%}", f"{row.parameters:,}", _time(row)]
        for row in rows
        if row.dataset == datasets(row.model, row.recipe)[0]
    ]
    return document.table(heads, cells)


def files_table(rows: Sequence[results.Result]) -> str:
    """Returns the table of exported files, in Markdown.

    It has the default recipes on MNIST and all recipes on CIFAR-10.
    """
    heads = [*KEY, "file", "bytes:", "test accuracy:"]
    cells = [
        [
            *_key(row),
            f"`{name}`",
            f"{file.bytes:,}",
            f"{file.accuracy:.2%}",
            f"{file.ms:.3f}",
        ]
        for row in rows
        if (row.recipe, row.dataset) == ("default", "mnist") or row.dataset == "cifar10"
        for name, file in row.artifacts.items()
    ]
    return document.table([*heads, "ms, one thread:"], cells)


def photographs_table(rows: Sequence[results.Result]) -> str:
    """Returns the table that compares CIFAR-10 with published figures, in Markdown."""
    heads = ["network", "weights:", "test accuracy:", "int8:", "bytes of int8:"]
    cells = [
        (
            f"`{row.model}`, recipe `{row.recipe}`",
            f"{row.parameters:,}",
            f"{row.accuracy:.2%}",
            f"{int8.accuracy:.2%}",
            f"{int8.bytes:,}",
            f"{int8.ms:.3f}",
        )
        for row in rows
        if row.dataset == "cifar10" and (int8 := row.artifacts.get("int8"))
    ]
    return document.table([*heads, "ms of int8, one thread:"], [*cells, *PUBLISHED])


def tables(rows: Sequence[results.Result]) -> dict[str, str]:
    """Returns all tables by the names of their markers."""
    return {
        "results": short_table(rows),
        "all results": table(rows),
        "files": files_table(rows),
        "photographs": photographs_table(rows),
    }


def _key(row: results.Result) -> tuple[str, str, str]:
    return f"`{row.model}`", f"`{row.recipe}`", row.dataset


def _time(row: results.Result) -> str:
    return f"{row.seconds:.0f} s, {row.cpus} CPU{'' if row.cpus == 1 else 's'}"


def main(argv: list[str]) -> None:
    """Trains, collects and writes."""
    flags.parse_only(argv, __doc__, FLAGS)
    startup.start()
    if FLAGS.only:
        zoo.list_recipes(FLAGS.only)  # raises UserError if there is no such model
    if not FLAGS.collect:
        for key, seed in itertools.product(combinations(FLAGS.only), SEEDS):
            train(*key, seed)
        for key in combinations(FLAGS.only):
            export(*key)
    before = {
        (row.model, row.recipe, row.dataset): row
        for row in results.load()
        if row.settings == current(row.model, row.recipe, row.dataset)
    }
    rows = []
    for key in combinations(None):
        found = [row for row in (collect(*key), before.get(key)) if row]
        rows += sorted(found, key=lambda row: -row.seeds)[:1]  # prefers the new one
    save(rows)
    for name, text in tables(rows).items():
        document.rewrite(name, text)


if __name__ == "__main__":
    console.main(main)
