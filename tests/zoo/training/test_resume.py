"""Tests runs that are killed or stopped, or whose numbers are not finite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

import zoo
from tests.conftest import ROOT
from tests.soak.kills import CASES, OPTIMIZER_CASES
from zoo.errors import RunError
from zoo.training import trainer


def driver(case, tmp_path, data_dir, kills=5):
    places = [f"--directory={tmp_path}", f"--data_dir={data_dir}"]
    what = [f"--case={case}", f"--kills={kills}", *places]
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.kills", *what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# The case with all features always runs; the others are slow tests.
KILLED = [
    case if case == "dropout" else pytest.param(case, marks=pytest.mark.slow)
    for case in (*CASES, *OPTIMIZER_CASES)
]


@pytest.mark.parametrize("case", KILLED)
def test_killed_five_times_and_the_same_to_the_last_bit(
    case, tmp_path, data_dir, digits
):
    assert set(zoo.list_models()) <= set(CASES)
    found = driver(case, tmp_path, data_dir)
    assert found["kills"] == 5
    assert found["lost"] == []


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_the_call_and_the_same_command_goes_on(
    name, code, call, data_dir, at_step, tmp_path
):
    flags = ["--model=mlp", "--dataset=digits", "--epochs=3", "--batch_size=64"]
    flags += ["--steps_per_execution=5", "--backup_steps=1000", "--export=none"]
    flags += ["--noplots", "--run_dir=run", f"--data_dir={data_dir}"]
    at_step(30, lambda: signal.raise_signal(signal.Signals[name]))
    stopped = call("train", *flags)
    assert stopped.returncode == code
    assert stopped.stderr.splitlines()[1:] == [
        f"Stopped by {name} after step 32 of 66; a backup is in run/backup. Run the "
        "same command again to resume."
    ]
    assert [path.name for path in (tmp_path / "run/backup").iterdir()] == [
        "step-000000032.npz"
    ]
    resumed = call("train", *flags)
    assert resumed.returncode == 0
    assert "Resuming run after step 32 of 66.\n" in resumed.stdout


def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path):
    overrides = {"optimizer": "sgd", "learning_rate": 3.0, "schedule": "constant"}
    overrides |= {"batch_size": 100, "epochs": 10}
    fields = {"dataset": "linear_regression", "overrides": overrides}
    asked = config("linear", backup_steps=5, eval_every=10, **fields)
    message = r"step \d+ of 100: loss. Try a lower --learning_rate, such as 0.3, with "
    with pytest.raises(RunError, match=message):
        trainer.train(asked)
    newest = max((tmp_path / "run/backup").glob("step-*.npz"))
    with np.load(newest) as backup:
        assert all(np.isfinite(backup[name]).all() for name in backup)
    assert not (tmp_path / "run/result.json").exists()


@pytest.mark.parametrize("at", ["backup", "end"])
def test_a_weight_that_is_not_finite_stops_a_run_with_a_finite_loss(
    at, config, at_step, tmp_path, monkeypatch
):
    """A relu turns NaN into 0 on CPUs, so the loss does not show it."""
    models = []
    make = trainer._make_models

    def made(job):
        models[:] = make(job)
        return models

    def poison():
        kernel = models[0].hidden1.kernel
        kernel.assign(np.full(kernel.shape, np.nan))

    monkeypatch.setattr(trainer, "_make_models", made)
    at_step(62, poison)
    asked = config(backup_steps=1 if at == "backup" else 1000)
    with pytest.raises(RunError, match="Not finite after step 6[46] of 66: mlp/hidden"):
        trainer.train(asked)
    assert not (tmp_path / "run/model.keras").exists()
