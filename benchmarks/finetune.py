"""Compares fine-tuning with training from scratch on few photographs.

Trains resnet on five classes of CIFAR-10 from $CIFAR10_DIR. Then trains it on 10, 50
and 200 images per class of the other five: once with --recipe=finetune from these
weights, and once from scratch with the recipe that trained them. Both use the same
batches, number of steps and three seeds, and compute in mixed_bfloat16. The accuracy is
that on the 5,000 test images of the five new classes.
"""

from __future__ import annotations

import math
import statistics
import subprocess
from typing import Any

import numpy as np

from benchmarks import document
from benchmarks.comparison import run_python
from benchmarks.data import cifar10_directory
from zoo.records.rundir import RunDir

ROUNDS = 3  # trainings, each with its own seed
DATA = (cifar10_directory,)

RUNS = document.ROOT / "runs" / "finetune"
SEEN = ("airplane", "bird", "deer", "frog", "ship")
NEW = ("automobile", "cat", "dog", "horse", "truck")
PRETRAINING = {"recipe": "tiny", "epochs": 15}
IMAGES = (10, 50, 200)
STEPS = 400  # the smallest number of steps, in whole passes over the data
BATCH = 16  # the batch size that train.py chooses for so few images


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
    arguments = [f"--{key}={value}" for key, value in flags.items()]
    run_python("train.py", *arguments, stdout=subprocess.DEVNULL)
    return run


def measure(rounds: int) -> dict[str, Any]:
    """Trains the missing runs; returns steps and accuracies by images per class."""
    pretrained = train("pretraining", tree("seen", SEEN, None), **PRETRAINING)
    found: dict[str, Any] = {}
    for count in IMAGES:
        epochs = math.ceil(STEPS / (count * len(NEW) // BATCH))
        tuned, scratch = [], []
        for seed in range(rounds):
            data = tree(f"{count}-seed{seed}", NEW, count, seed)
            flags = {"seed": seed, "epochs": epochs}
            from_weights = {"recipe": "finetune", "weights": pretrained.path}
            from_scratch = {"recipe": PRETRAINING["recipe"]}
            name = f"{count}-{seed}"
            tuned.append(train(f"tuned-{name}", data, **flags, **from_weights))
            scratch.append(train(f"scratch-{name}", data, **flags, **from_scratch))
        (steps,) = {run.read_result()["steps"] for run in (*tuned, *scratch)}
        found[str(count)] = {
            "steps": steps,
            "fine-tuned": [run.read_result()["test"]["accuracy"] for run in tuned],
            "from scratch": [run.read_result()["test"]["accuracy"] for run in scratch],
        }
    return {"images": found}


def table(result: dict[str, Any]) -> str:
    """Returns the Markdown table of a result."""
    ways = ("fine-tuned", "from scratch")
    rows = []
    for count, found in result["images"].items():
        shown = [
            f"{statistics.mean(found[way]):.1%} ({100 * min(found[way]):.1f} to "
            f"{100 * max(found[way]):.1f})"
            for way in ways
        ]
        rows.append([count, str(found["steps"]), *shown])
    heads = ["images per class:", "steps:", *(f"{way}:" for way in ways)]
    return document.table(heads, rows)
