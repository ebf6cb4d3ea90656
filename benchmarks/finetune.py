"""Compares fine-tuning with training from scratch on few photographs.

    python -m benchmarks.finetune

Trains resnet on five classes of CIFAR-10 from $CIFAR10_DIR. Then trains it on 10, 50
and 200 images per class of the other five: once with --recipe=finetune from these
weights, and once from scratch with the recipe that trained them. Both use the same
batches, number of steps and three seeds, and compute in mixed_bfloat16. The accuracy is
that on the 5,000 test images of the five new classes.
"""

from __future__ import annotations

import math
import statistics

import numpy as np

from benchmarks import comparison, document
from benchmarks.comparison import run_python
from benchmarks.data import cifar10_directory
from zoo import console, startup
from zoo.commands import flags
from zoo.records.rundir import RunDir

RUNS = document.ROOT / "runs" / "finetune"
SEEN = ("airplane", "bird", "deer", "frog", "ship")
NEW = ("automobile", "cat", "dog", "horse", "truck")
PRETRAINING = {"recipe": "tiny", "epochs": 15}
IMAGES = (10, 50, 200)
SEEDS = (0, 1, 2)
STEPS = 400  # the smallest number of steps, in whole passes over the data
BATCH = 16  # the batch size that train.py chooses for so few images

FLAGS = flags.Flags()


def tree(name: str, classes: tuple[str, ...], count: int | None, seed: int = 0) -> str:
    """Makes a directory of links to ``count`` images per class, or to all images."""
    source, target = cifar10_directory(), RUNS / "data" / name
    for split in ("train", "test"):
        for each in classes:
            (target / split / each).mkdir(parents=True, exist_ok=True)
            paths = sorted((source / split / each).iterdir())
            if split == "train" and count:
                chosen = np.random.default_rng(seed).permutation(len(paths))[:count]
                paths = [paths[i] for i in sorted(chosen)]
            for path in paths:
                link = target / split / each / path.name
                link.unlink(missing_ok=True)
                link.symlink_to(path.absolute())
    return str(target)


def train(name: str, data: str, **flags: object) -> RunDir:
    """Runs train.py, which does nothing if the run is finished."""
    run = RunDir(RUNS / name)
    flags |= {"model": "resnet", "dataset": data, "run_dir": run.path}
    flags |= {"export": "none", "eval_every": 1000, "plots": False}
    flags |= {"precision": "mixed_bfloat16"}
    run_python("train.py", *(f"--{key}={value}" for key, value in flags.items()))
    return run


def measure(count: int, weights: RunDir) -> tuple[list[float], list[float], int]:
    """Returns the accuracies of both trainings for each seed, and the steps."""
    tuned, scratch = [], []
    for seed in SEEDS:
        data = tree(f"{count}-seed{seed}", NEW, count, seed)
        epochs = math.ceil(STEPS / (count * len(NEW) // BATCH))
        flags = {"seed": seed, "epochs": epochs}
        runs = (
            train(
                f"tuned-{count}-{seed}",
                data,
                recipe="finetune",
                weights=weights.path,
                **flags,
            ),
            train(
                f"scratch-{count}-{seed}", data, recipe=PRETRAINING["recipe"], **flags
            ),
        )
        results = [run.read_result() for run in runs]
        assert results[0]["steps"] == results[1]["steps"]
        for accuracies, result in zip((tuned, scratch), results, strict=True):
            accuracies.append(result["test"]["accuracy"])
    return tuned, scratch, results[0]["steps"]


def table() -> str:
    """Returns the table of results, in Markdown."""
    first = train("pretraining", tree("seen", SEEN, None), **PRETRAINING)
    lines = [
        "| images per class | steps | fine-tuned | from scratch |\n",
        "| ---: | ---: | ---: | ---: |\n",
    ]
    for count in IMAGES:
        *accuracies, steps = measure(count, first)
        both = " | ".join(
            f"{statistics.mean(a):.1%} ({100 * min(a):.1f} to {100 * max(a):.1f})"
            for a in accuracies
        )
        lines.append(f"| {count} | {steps} | {both} |\n")
    return "".join(lines)


def main(argv: list[str]) -> None:
    """Trains the missing runs and writes the table."""
    comparison.parse_flags(argv, __doc__, FLAGS)
    cifar10_directory()
    startup.start()
    document.rewrite(document.where("finetune"), "finetune", table())


if __name__ == "__main__":
    console.main(main)
