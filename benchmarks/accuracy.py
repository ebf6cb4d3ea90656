"""Trains the models of the tables of results, and writes the tables.

    python -m benchmarks.accuracy               trains all models, or resumes
    python -m benchmarks.accuracy --only=mlp    trains one model
    python -m benchmarks.accuracy --collect     only reads the runs in runs/results

Trains with three seeds, on MNIST from $MNIST_DIR, on digits, and on CIFAR-10 from
$CIFAR10_DIR, and then exports the run of the first seed. Writes zoo/results.csv, the
tables of results, and the comments beside the recipes in zoo/models.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import re
import statistics
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import zoo
from benchmarks import comparison, document
from benchmarks.comparison import run_python
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
#: TFLite files that lose more accuracy than their bound allows, by training.
MISSES = {("allconv", "photos", "cifar10"): ("dynamic",)}
#: The published figures of MLPerf Tiny's networks for the same 10,000 images.
PUBLISHED = (
    "| MLPerf Tiny, ResNet-8 | 78,000 | 87.2% | 87.0% | | |\n",
    "| MLPerf Tiny, larger network | 480,000 | 91.3% | 91.3% | | |\n",
)
MODELS = document.ROOT / "zoo" / "models"
_COMMENT = re.compile(
    r"^    # .* on \d+ CPUs?:\n    #   python train\.py .*\n(?:    #     --.*\n)*", re.M
)

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
    if first.read_export() is None:
        missed = MISSES.get((model, recipe, dataset), ())
        kept = ",".join(name for name in TFLITE_FILES if name not in missed)
        run_python("-m", "export", f"--run_dir={first.path}", f"--tflite_files={kept}")


def fingerprint(settings: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Returns a short hash that identifies a recipe with its architecture.

    Args:
        settings: settings of the recipe.
        model: the model's ``get_config()``.
    """
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
    settings = {
        "steps_per_execution": config.get("steps_per_execution"),
        **config["identity"]["settings"],
    }
    return fingerprint(settings, made)


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
    export = runs[0].read_export() or {"artifacts": []}
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
            record["name"]: results.FileResult(
                record["bytes"],
                round(record["accuracy"], 6),
                round(record["latency_ms"]["median"], 4),
            )
            for record in export["artifacts"]
            if record["name"] in results.ARTIFACTS
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
        for name in results.ARTIFACTS:
            for column in ("bytes", "accuracy", "ms"):
                line[f"{name}_{column}"] = artifacts.get(name, {}).get(column, "")
        lines.append(line)
    files.write_csv(results.PATH, lines)


def table(rows: Sequence[results.Result]) -> str:
    """Returns the table of all trainings, in Markdown."""
    lines = [
        "| model | recipe | dataset | seeds | test accuracy | lowest to highest "
        "| parameters | training |\n",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    ]
    for row in rows:
        lines.append(
            f"| `{row.model}` | `{row.recipe}` | {row.dataset} | {row.seeds} | "
            f"{row.accuracy:.2%} | {row.lowest:.2%} to {row.highest:.2%} | "
            f"{row.parameters:,} | {row.seconds:.0f} s, {_count(row.cpus, 'CPU')} |\n"
        )
    return "".join(lines)


def short_table(rows: Sequence[results.Result]) -> str:
    """Returns the README's table, in Markdown: each recipe on its main dataset."""
    lines = [
        "| model | recipe | dataset | test accuracy | parameters | training |\n",
        "| --- | --- | --- | ---: | ---: | ---: |\n",
    ]
    for row in rows:
        if row.dataset == datasets(row.model, row.recipe)[0]:
            lines.append(
                f"| `{row.model}` | `{row.recipe}` | {row.dataset} | "
                f"{row.accuracy:.2%} | {row.parameters:,} | "
                f"{row.seconds:.0f} s, {_count(row.cpus, 'CPU')} |\n"
            )
    return "".join(lines)


def files_table(rows: Sequence[results.Result]) -> str:
    """Returns the table of exported files, in Markdown.

    It has the default recipes on MNIST and all recipes on CIFAR-10.
    """
    lines = [
        "| model | recipe | dataset | file | bytes | test accuracy "
        "| ms, one thread |\n",
        "| --- | --- | --- | --- | ---: | ---: | ---: |\n",
    ]
    for row in rows:
        default = (row.recipe, row.dataset) == ("default", "mnist")
        if not default and row.dataset != "cifar10":
            continue
        for name, file in row.artifacts.items():
            lines.append(
                f"| `{row.model}` | `{row.recipe}` | {row.dataset} | `{name}` | "
                f"{file.bytes:,} | "
                f"{file.accuracy:.2%} | {file.ms:.3f} |\n"
            )
    return "".join(lines)


def photographs_table(rows: Sequence[results.Result]) -> str:
    """Returns the table that compares CIFAR-10 with published figures, in Markdown."""
    lines = [
        "| network | weights | test accuracy | int8 | bytes of int8 "
        "| ms of int8, one thread |\n",
        "| --- | ---: | ---: | ---: | ---: | ---: |\n",
    ]
    for row in rows:
        if row.dataset == "cifar10" and (int8 := row.artifacts.get("int8")):
            lines.append(
                f"| `{row.model}`, recipe `{row.recipe}` | {row.parameters:,} | "
                f"{row.accuracy:.2%} | {int8.accuracy:.2%} | {int8.bytes:,} "
                f"| {int8.ms:.3f} |\n"
            )
    return "".join([*lines, *PUBLISHED])


def comment(row: results.Result) -> str:
    """Returns the comment on a recipe: its accuracy, time and command."""
    flags = [f"--model={row.model}"]
    if row.recipe != "default":
        flags.append(f"--recipe={row.recipe}")
    if row.dataset != "mnist":
        flags.append(f"--dataset={row.dataset}")
    how = [f"--{name}={value}" for name, value in HOW.get(row.dataset, {}).items()]
    rest = "".join(f" \\\n    #     {flag}" for flag in how)
    return (
        f"    # {row.dataset} {row.accuracy:.2%} ({100 * row.lowest:.2f} to "
        f"{100 * row.highest:.2f}, {_count(row.seeds, 'seed')}) in {row.seconds:.0f} s "
        f"on {_count(row.cpus, 'CPU')}:\n"
        f"    #   python train.py {' '.join(flags)}{rest}\n"
    )


def commented(source: str, rows: Sequence[results.Result]) -> str:
    """Returns a model's file with the comments of these rows above its recipes."""
    layers, begin, recipes = _COMMENT.sub("", source).partition("RECIPES = {\n")

    def above(match: re.Match) -> str:
        return "".join(comment(row) for row in rows if row.recipe == match[1])

    recipes = re.sub(r'^    "(\w+)": ', lambda m: above(m) + m[0], recipes, flags=re.M)
    return layers + begin + recipes


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def main(argv: list[str]) -> None:
    """Trains, collects and writes."""
    comparison.parse_flags(argv, __doc__, FLAGS)
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
    tables = {
        "results": short_table(rows),
        "all results": table(rows),
        "files": files_table(rows),
        "photographs": photographs_table(rows),
    }
    for name, text in tables.items():
        document.rewrite(document.where(name), name, text)
    for model in zoo.list_models():
        path = MODELS / f"{model}.py"
        source = path.read_text(encoding="utf-8")
        own = [row for row in rows if row.model == model]
        files.write_bytes(path, commented(source, own).encode())


if __name__ == "__main__":
    console.main(main)
