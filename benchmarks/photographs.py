"""Compares ways to train a classifier of the photographs in $TRASH_DIR.

train.py trains resnet from scratch and from the weights of CIFAR-10, and fits the head
of efficientnet_lite or trains all of it, from the weights of ImageNet. Keras's guide to
transfer learning does the latter two from the same weights with images of the same
size. Each seed has its own split of the photographs, which all ways share. The ways
take turns, each in a fresh process, and its time counts from the start of the process.

Each measurement is stored when it is finished; a benchmark that was stopped goes on
where it was.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time
from typing import Any

from benchmarks import comparison, data, document
from benchmarks.comparison import run_python
from export import records
from zoo import files
from zoo.errors import RunError
from zoo.records.rundir import RunDir
from zoo.training.config import SIDE

ROUNDS = 3  # seeds
DATA = (data.trash_directory,)
RUNS = document.ROOT / "runs" / "photographs"
#: Epochs of all trainings; None for those of the recipes and of Keras's guide.
EPOCHS: int | None = None
GUIDE_EPOCHS = 10  # of each of its two parts
TEST_SHARE = 0.2
#: The flags of train.py.
OURS = {
    "scratch": ("--model=resnet", "--image_size=64"),
    "cifar10": ("--model=resnet", "--recipe=finetune", "--weights=cifar10"),
    "frozen": ("--model=efficientnet_lite", "--freeze=head"),
    "cropped": ("--model=efficientnet_lite", "--freeze=head", "--resize=crop"),
    "tuned": ("--model=efficientnet_lite",),
}
#: What one process with Keras's guide measures one after the other.
GUIDE = {
    "keras frozen": "Keras's guide, frozen layers",
    "keras tuned": "Keras's guide, then all layers",
}
#: The processes in the order of an even seed, and what each of them measures.
TURNS = {
    "scratch": ("scratch",),
    "cifar10": ("cifar10",),
    "keras": tuple(GUIDE),
    "frozen": ("frozen",),
    "tuned": ("tuned",),
    "cropped": ("cropped",),
}
#: Number of seeds of ways that take too long for all of them.
SEEDS = {
    "scratch": 1,
    "cifar10": 1,
    "keras": 1,
    "keras frozen": 1,
    "keras tuned": 1,
    "cropped": 1,
}
#: Ways of the zoo, and the ways of Keras's guide that do the same.
PAIRS = {"frozen": "keras frozen", "tuned": "keras tuned"}


def stored(way: str, seed: int) -> pathlib.Path:
    """Returns the file of a measurement."""
    return RUNS / f"seed{seed}" / f"{way.replace(' ', '-')}.json"


def split(seed: int) -> pathlib.Path:
    """Makes a tree of links with ``train`` and ``test``, and reads all photographs.

    After that, the system has them in memory for every process.
    """
    from sklearn.model_selection import train_test_split

    classes = data.photographs(data.trash_directory())
    paths = [path for each in classes.values() for path in each]
    parts = train_test_split(
        paths,
        test_size=TEST_SHARE,
        random_state=seed,
        stratify=[path.parent.name for path in paths],
    )
    tree = RUNS / f"seed{seed}" / "photographs"
    shutil.rmtree(tree, ignore_errors=True)
    for part, chosen in zip(("train", "test"), parts, strict=True):
        for path in chosen:
            link = tree / part / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
            path.read_bytes()
    return tree


def train(way: str, seed: int, tree: pathlib.Path) -> dict[str, Any]:
    """Runs train.py with the files that it exports by default."""
    run = RunDir(RUNS / f"seed{seed}" / way)
    decoded = RUNS / f"seed{seed}" / "decoded"
    for old in (run.path, decoded):  # each process decodes the photographs itself
        shutil.rmtree(old, ignore_errors=True)
    flags = [*OURS[way], f"--dataset={tree}", f"--run_dir={run.path}", f"--seed={seed}"]
    flags.append(f"--data_dir={decoded}")
    flags += [f"--epochs={EPOCHS}"] if EPOCHS else []
    began = time.time()
    try:
        run_python("train.py", *flags, stdout=subprocess.DEVNULL)
    except RunError:
        export = records.read(run.export)
        if not (export and export.left_out):  # a file that is left out is a result
            raise
    seconds = time.time() - began
    export = records.read(run.export)
    assert export, "train.py exports to the default formats"
    return {
        "accuracy": run.read_result()["test"]["accuracy"],
        "seconds": seconds,
        "seconds_to_result": run.result.stat().st_mtime - began,
        "files": [
            {
                "file": record.path,
                "bytes": record.bytes,
                "accuracy": record.accuracy,
                "milliseconds": record.latency_ms and record.latency_ms["median"],
            }
            for record in export.artifacts
        ],
        "left_out": [str(each) for each in export.left_out],
    }


def follow_guide(seed: int, tree: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Runs Keras's guide; returns its measurements, by way."""
    module, base = "benchmarks.contestants.keras_guide", RUNS / "base.keras"
    if not base.exists():
        command = ("-m", module, "prepare", str(base), str(SIDE))
        run_python(*command, stdout=subprocess.DEVNULL)
    epochs = EPOCHS or GUIDE_EPOCHS
    arguments = [str(each) for each in (base, tree, epochs, seed, time.time())]
    done = run_python(
        "-m", module, "train", *arguments, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        # The guide ends with the accuracy and exports nothing.
        way: found[part] | {"seconds_to_result": found[part]["seconds"]}
        for part, way in PAIRS.items()
    }


def measure_seed(seed: int) -> None:
    """Measures and stores what is missing of a seed."""
    tree = None
    for name, ways in TURNS.items() if seed % 2 == 0 else reversed(TURNS.items()):
        if seed >= SEEDS.get(name, seed + 1):
            continue
        if all(stored(way, seed).exists() for way in ways):
            continue
        tree = tree or split(seed)
        load = round(os.getloadavg()[0], 1)
        if name == "keras":
            found = follow_guide(seed, tree)
        else:
            found = {name: train(name, seed, tree)}
        for way, measured in found.items():
            files.write_json(stored(way, seed), measured | {"load_before": load})


def measure(rounds: int) -> dict[str, Any]:
    """Measures what is missing; returns what was measured of ``rounds`` seeds."""
    for seed in range(rounds):
        measure_seed(seed)
    found = {
        way: [
            json.loads(stored(way, seed).read_text(encoding="utf-8"))
            for seed in range(min(rounds, SEEDS.get(way, rounds)))
        ]
        for way in (*OURS, *GUIDE)
    }
    classes = data.photographs(data.trash_directory())
    loads = sorted(run["load_before"] for runs in found.values() for run in runs)
    return {
        "photographs": sum(map(len, classes.values())),
        "classes": len(classes),
        "ways": {way: summary(runs) for way, runs in found.items()},
        "beside_keras": {
            ours: beside(found[ours], found[theirs]) for ours, theirs in PAIRS.items()
        },
        "files": found["tuned"][0]["files"],
        "left_out": {
            f"{way}, seed {seed}": run["left_out"]
            for way, runs in found.items()
            for seed, run in enumerate(runs)
            if run.get("left_out")
        },
        "machine": comparison.machine() | {"load_before": f"{loads[0]} to {loads[-1]}"},
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns accuracies and seconds of a way."""
    accuracies = [run["accuracy"] for run in runs]
    found: dict[str, Any] = {
        "seeds": len(runs),
        "accuracy": round(statistics.mean(accuracies), 4),
        "lowest": round(min(accuracies), 4),
        "highest": round(max(accuracies), 4),
    }
    for name in ("seconds", "seconds_to_result"):
        found[name] = round(statistics.median(run[name] for run in runs), 1)
    return found


def beside(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> dict[str, float]:
    """Returns the time of the zoo as a share of Keras's, and points of accuracy."""
    found = {
        name: round(
            comparison.ratio(
                [run[name] for run in ours[: len(theirs)]],
                [run[name] for run in theirs],
            ),
            3,
        )
        for name in ("seconds", "seconds_to_result")
    }
    ours = ours[: len(theirs)]  # the same seeds
    means = [
        statistics.mean(run["accuracy"] for run in runs) for runs in (ours, theirs)
    ]
    return found | {"points_more": round(100 * (means[0] - means[1]), 2)}


def tables(result: dict[str, Any]) -> dict[str, str]:
    """Returns the Markdown tables of a result, by their markers."""
    names = {way: f"`train.py {' '.join(flags)}`" for way, flags in OURS.items()}
    names |= GUIDE
    short, detailed = [], []
    for way, found in result["ways"].items():
        bounds = f"{100 * found['lowest']:.1f} to {100 * found['highest']:.1f}"
        mean, seconds = f"{found['accuracy']:.1%}", f"{found['seconds']:,.0f}"
        alone = found["seeds"] == 1
        short.append([names[way], mean if alone else f"{mean} ({bounds})", seconds])
        alone_seconds = f"{found['seconds_to_result']:,.0f}"
        cells = [names[way], str(found["seeds"]), mean, bounds, alone_seconds]
        detailed.append([*cells, seconds if way in OURS else ""])
    pairs = [
        [
            names[ours],
            names[PAIRS[ours]],
            f"{found['seconds_to_result']:.2f}",
            f"{found['seconds']:.2f}",
            f"{found['points_more']:+.1f}",
        ]
        for ours, found in result["beside_keras"].items()
    ]
    exported = [
        [
            f"`{each['file']}`",
            f"{each['bytes']:,}",
            f"{each['accuracy']:.2%}",
            f"{each['milliseconds']:.2f}" if each["milliseconds"] else "",
        ]
        for each in result["files"]
    ]
    heads = ["training", "seeds:", "test accuracy:", "lowest to highest:"]
    heads += ["seconds to the accuracy:", "seconds to the files:"]
    shares = ["zoo", "Keras", "time to the accuracy / Keras's:"]
    shares += ["time to the files / Keras's:", "points of accuracy more:"]
    measured = ["file", "bytes:", "test accuracy:", "ms, one thread:"]
    left_out = [
        f"- `{run}`: {line}\n"
        for run, lines in result["left_out"].items()
        for line in lines
    ]
    return {
        "own photographs": document.table(
            ["training", "test accuracy:", "seconds:"], short
        ),
        "own photographs in detail": document.table(heads, detailed)
        + "\n"
        + document.table(shares, pairs),
        "files of photographs": document.table(measured, exported)
        + "".join(["\n", *left_out] if left_out else []),
    }
