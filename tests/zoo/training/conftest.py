"""Fixtures for tests of whole trainings."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from zoo.training.callbacks import Checkpoints
from zoo.training.config import Config

# About ten seconds of training; no test waits for the end.
LONG = ["--model=mlp", "--dataset=digits", "--epochs=100", "--batch_size=16"]


@pytest.fixture
def config(tmp_path, data_dir):
    """Makes the Config of a training: 3 epochs of 22 steps, 5 steps per call."""

    def make(model="mlp", **fields):
        defaults = {
            "model": model,
            "dataset": "digits",
            "overrides": {},
            "data_dir": str(data_dir),
            "run_dir": str(tmp_path / "run"),
        }
        fields = defaults | fields
        short = {"epochs": 3, "batch_size": 64, "steps_per_execution": 5}
        fields["overrides"] = short | fields["overrides"]
        return Config(**fields)

    return make


@pytest.fixture
def at_step(monkeypatch):
    """Runs a function once, after a given step and before its backup."""
    done = Checkpoints.on_train_batch_end

    def patch(step, action):
        def hook(self, batch, logs=None):
            if self._progress.step >= step:
                monkeypatch.setattr(Checkpoints, "on_train_batch_end", done)
                action()
            done(self, batch, logs)

        monkeypatch.setattr(Checkpoints, "on_train_batch_end", hook)

    return patch


@pytest.fixture
def start(tmp_path, data_dir, digits):
    """Starts train.py in an empty directory; kills it at the end of the test."""
    processes = []

    def begin(*flags, **options):
        places = [f"--data_dir={data_dir}", "--run_dir=run"]
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *LONG, *places, *flags],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(path, process):
    """Waits until a training has written a file that matches."""
    for _ in range(1200):
        if any(path.parent.glob(path.name)):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"no {path}: {process.communicate()}")
