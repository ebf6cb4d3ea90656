"""Measures the time of a process that trains resnet to 90% on CIFAR-10's test split.

train.py and PyTorch train the default resnet in bfloat16, for as many epochs, with the
settings and augmentations of the default recipe. Both evaluate once, at the end, and
begin with images that have been decoded before. PyTorch keeps images in the layout that
is faster on a CPU, channels last.
"""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import numpy as np

import zoo
from benchmarks import data, race
from zoo import startup

GOAL = 0.9
EPOCHS = 24
ROUNDS = 1
DATA = (data.cifar10_directory,)
NEEDS = ("torch",)
_FLAGS = (
    "--model=resnet",
    f"--epochs={EPOCHS}",
    f"--eval_every={EPOCHS}",
    "--precision=mixed_bfloat16",
    *race.LEAN,
)
_OURS = f"`train.py {' '.join(_FLAGS)}`"


def measure(rounds: int) -> dict[str, Any]:
    """Returns seconds, accuracies, and the ratio of the zoo's time to PyTorch's."""
    source = str(data.cifar10_directory())
    startup.start()
    contents = zoo.load_dataset(source)
    ours = (*_FLAGS, f"--dataset={source}")
    with tempfile.TemporaryDirectory() as directory:
        images = pathlib.Path(directory) / "cifar10.npz"
        arrays = {
            f"{part}_{name}": getattr(getattr(contents, part), name)
            for part in ("train", "test")
            for name in ("x", "y")
        }
        np.savez(images, **arrays)
        peer = ("torch_photos", str(images), str(EPOCHS))
        runners = {
            _OURS: lambda seed: race.train(*ours, f"--seed={seed}"),
            "PyTorch": lambda seed: race.example(*peer, str(seed)),
        }
        return race.compare(runners, rounds, GOAL)


table = race.table
