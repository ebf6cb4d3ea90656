"""Fixtures for tests of whole trainings."""

from __future__ import annotations

import pytest

from tests.conftest import of_model
from zoo.training.config import Config


@pytest.fixture
def config(tmp_path, data_dir):
    """Makes the Config of a training: 3 epochs of 22 steps, 5 steps per call.

    It has the fields of ``of_model`` unless others are given.
    """

    def make(model="mlp", **fields):
        defaults = {
            "model": model,
            "dataset": "digits",
            "overrides": {},
            "data_dir": str(data_dir),
            "run_dir": str(tmp_path / "run"),
        }
        fields = defaults | of_model(model) | fields
        short = {"epochs": 3, "batch_size": 64, "steps_per_execution": 5}
        fields["overrides"] = short | fields["overrides"]
        return Config(**fields)

    return make


@pytest.fixture
def at_step(monkeypatch):
    """Runs a function once, after a given step and before its backup."""
    # Imported here, because pytest may load this file before it sets TensorFlow up.
    from zoo.training.callbacks import Checkpoints

    done = Checkpoints.on_train_batch_end

    def patch(step, action):
        def hook(self, batch, logs=None):
            if self._progress.step >= step:
                monkeypatch.setattr(Checkpoints, "on_train_batch_end", done)
                action()
            done(self, batch, logs)

        monkeypatch.setattr(Checkpoints, "on_train_batch_end", hook)

    return patch
