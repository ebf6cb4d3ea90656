"""Kills trainings at random moments, resumes them, and compares the bits.

    python -m tests.soak.kills --case=mlp --kills=5 --seed=0 --directory=D --data_dir=T

prints one JSON object: kills, runs, and the differences from an undisturbed run.
Each training is a fork of this process, which has imported TensorFlow but not started
it. A kill therefore costs no time for another import.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import pathlib
import random
import select
import signal
import sys
import time
import traceback
import zipfile
from typing import Any

from zoo import registry
from zoo.recipe import OPTIMIZERS

SMALL = {"batch_size": 64, "epochs": 3, "min_steps": 0}
#: What differs from that, for models that would train too briefly or too long.
OF_MODEL: dict[str, dict[str, Any]] = {
    "linear": {"min_steps": 300},
    "mlp": {"min_steps": 300},
    "convnet": {"batch_size": 128},
    # Moving statistics, also from partial batches.
    "allconv": {"remainder": "keep"},
    "resnet": {"model": {"widths": (8, 16), "blocks": (1, 1)}},
    # 11 steps each, of deep networks.
    "efficientnet_lite": {"batch_size": 128, "epochs": 1},
    "mobilenet_v2": {"batch_size": 128, "epochs": 1, "model": {"width": 0.35}},
}
PHOTOGRAPHS = {"image_size": (32, 32), "weights": "none"}
CASES: dict[str, dict[str, Any]] = {
    name: {"overrides": SMALL | OF_MODEL.get(name, {})}
    for name in registry.list_models()
}
for name in ("efficientnet_lite", "mobilenet_v2"):
    CASES[name] |= PHOTOGRAPHS
# Dropout, augmentation, partial batches, calls that do not divide an epoch.
CASES["dropout"] = {
    "model": "mlp",
    "gradient_norm": True,
    "overrides": {
        "epochs": 4,
        "batch_size": 100,
        "min_steps": 200,
        "remainder": "keep",
        "steps_per_execution": 4,
        "optimizer": "nadam",
        "model": {"dropout": 0.3, "hidden": (64, 32)},
        "augment": {"shift": 0.1, "rotate": 15.0, "scale": 0.1, "shear": 0.1},
    },
}
# Fits the head of a pretrained network, and then trains all of it.
CASES["head_first"] = {
    "model": "resnet",
    "recipe": "tiny",
    "weights": "cifar10/tiny",
    "overrides": SMALL | {"head_first": True, "learning_rate": 0.01},
}
#: A training with each optimizer, which the tests kill too.
OPTIMIZER_CASES = {
    optimizer: {
        "model": "mlp",
        "overrides": {
            "optimizer": optimizer,
            "epochs": 2,
            "learning_rate": 1e-3,
            "momentum": 0.9 if optimizer in ("sgd", "rmsprop") else 0.0,
        },
    }
    for optimizer in OPTIMIZERS
}
# Keras 3.15's optimizer divides 0 by 0 if pixels are always black.
OPTIMIZER_CASES["adafactor"] |= {"model": "linear", "dataset": "linear_regression"}
TIMES = ("seconds", "train_seconds", "examples_per_second")


def train(
    case: str, run_dir: pathlib.Path, data_dir: str, kill_after: float | None = None
) -> float | None:
    """Trains in a fork; returns the seconds from its first step to its end.

    Returns None if the training was killed, ``kill_after`` seconds after its first
    step. Before that step it is traced for seconds, and most kills would happen there.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        _train_and_exit(case, run_dir, data_dir, writer)
    os.close(writer)
    os.read(reader, 1)  # reads nothing if there was no step to do
    os.close(reader)
    began = time.monotonic()
    end = os.pidfd_open(child)
    done, _, _ = select.select([end], [], [], kill_after)
    os.close(end)
    if not done:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if status not in (0, signal.SIGKILL):
        raise RuntimeError(f"A training ended with status {status}.")
    return None if status else time.monotonic() - began


def _train_and_exit(case: str, run_dir: pathlib.Path, data_dir: str, pipe: int) -> None:
    """Trains; writes a byte to the pipe after the first step; ends the process."""
    status = 1
    try:
        from zoo.training import trainer
        from zoo.training.config import Config

        batch_end = trainer.StepCounter.on_train_batch_end

        def tell(self, batch, logs=None):
            os.write(pipe, b"x")
            trainer.StepCounter.on_train_batch_end = batch_end
            batch_end(self, batch, logs)

        trainer.StepCounter.on_train_batch_end = tell
        config = {"model": case, "dataset": "digits"}
        config |= (CASES | OPTIMIZER_CASES)[case]
        places = {"data_dir": data_dir, "run_dir": str(run_dir)}
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train(
                Config(**config, **places, backup_steps=2, deterministic=True)
            )
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def differences(a: pathlib.Path, b: pathlib.Path) -> list[str]:
    """Lists the differences between two finished runs, except for times."""
    found = []
    for file, read in (
        ("model.keras", _weights),
        ("metrics.csv", _metrics),
        ("result.json", _result),
    ):
        ours, theirs = read(a), read(b)
        for name in {**ours, **theirs}:
            if ours.get(name) != theirs.get(name):
                found.append(f"{file}: {name}")
    return found


def _weights(run_dir: pathlib.Path) -> dict[str, bytes]:
    """Returns the bytes of all weights and optimizer variables in model.keras."""
    import h5py

    with zipfile.ZipFile(run_dir / "model.keras") as archive:
        content = archive.read("model.weights.h5")
    found: dict[str, bytes] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(add)
    if not found:
        raise RuntimeError(f"{run_dir} has no weights.")
    return found


def _metrics(run_dir: pathlib.Path) -> dict[str, str]:
    with (run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        f"{name} of epoch {row['epoch']}": value
        for row in rows
        for name, value in row.items()
        if name not in TIMES
    }


def _result(run_dir: pathlib.Path) -> dict[str, Any]:
    result = json.loads((run_dir / "result.json").read_text())
    return {name: value for name, value in result.items() if name not in TIMES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", required=True, choices=[*CASES, *OPTIMIZER_CASES])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--data_dir", required=True)
    options = parser.parse_args()
    registry.import_all()  # before the forks; TensorFlow starts after them
    whole = options.directory / "whole"
    seconds = train(options.case, whole, options.data_dir)
    draw, kills, runs, lost = random.Random(options.seed), 0, 0, []
    while kills < options.kills:
        runs += 1
        run_dir = options.directory / f"killed-{runs}"
        finished = None
        while finished is None:
            delay = draw.uniform(0, 0.4 * seconds) if kills < options.kills else None
            finished = train(options.case, run_dir, options.data_dir, delay)
            kills += finished is None
        lost += [f"run {runs}: {what}" for what in differences(whole, run_dir)]
    print(json.dumps({"kills": kills, "runs": runs, "lost": lost}))


if __name__ == "__main__":
    main()
