"""Tests runs that are killed, stopped, locked or damaged."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import zoo
from tests.conftest import ROOT
from tests.soak.kills import CASES, OPTIMIZER_CASES, differences
from tests.zoo.training.conftest import wait_for
from zoo.errors import Interrupted, RunError
from zoo.records.rundir import RunDir
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


def test_the_comparison_sees_one_bit(trained_run, tmp_path):
    a, b = trained_run.run.path, tmp_path / "copy"
    shutil.copytree(a, b)
    assert differences(a, b) == []
    result = json.loads((b / "result.json").read_text())
    result["train"]["loss"] = np.nextafter(result["train"]["loss"], 1)
    (b / "result.json").write_text(json.dumps(result))
    model = keras.models.load_model(b / "model.keras")
    weights = model.get_weights()
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(1))
    model.set_weights(weights)
    model.save(b / "model.keras")
    found = differences(a, b)
    assert "result.json: train" in found
    assert sum("model.keras" in what for what in found) == 1


def check_stopped(message, name, run):
    """Returns the step after which the run stopped and wrote its only backup."""
    found = re.fullmatch(
        rf"Stopped by {name} after step (\d+) of \d+; a backup is in \S*run/backup. "
        "Run the same command again to resume.",
        message,
    )
    assert found, message
    backups = [path.name for path in (run / "backup").iterdir()]
    assert backups == [f"step-{int(found[1]):09d}.npz"]
    return int(found[1])


def test_a_signal_ends_a_process_and_says_how_to_go_on(start, tmp_path):
    # No other backup is due, so the signal caused the backup.
    process = start("--backup_steps=1000000", "--progress=epoch")
    wait_for(tmp_path / "run" / "metrics.csv", process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    check_stopped(err.rstrip("\n"), "SIGTERM", tmp_path / "run")


def test_ctrl_c_ends_the_step_and_the_same_command_goes_on(
    config, at_step, tmp_path, capsys
):
    at_step(30, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(Interrupted) as caught:
        trainer.train(config(backup_steps=1000))
    assert caught.value.exit_code == 130
    assert check_stopped(str(caught.value), "SIGINT", tmp_path / "run") == 32
    assert trainer.train(config(backup_steps=1000)).run.finished
    said = capsys.readouterr().out
    assert re.search(r"^Resuming \S*run after step 32 of 66\.$", said, re.MULTILINE)


@pytest.mark.parametrize("fields", [{"overwrite": True}, {"seed": 3}])
def test_a_run_of_another_process_is_refused_and_not_touched(fields, config, tmp_path):
    def times():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    with RunDir(tmp_path / "run").locked():
        (tmp_path / "run/config.json").write_text("{}")
        before = times()
        with pytest.raises(RunError, match=r"Another process is working in .*run\."):
            trainer.train(config(**fields))
        assert times() == before


def test_a_loss_that_is_not_finite_stops_the_run(config, tmp_path):
    overrides = {
        "optimizer": "sgd",
        "learning_rate": 3.0,
        "schedule": "constant",
        "batch_size": 100,
        "epochs": 10,
    }
    asked = config(
        "linear",
        dataset="linear_regression",
        overrides=overrides,
        backup_steps=5,
        eval_every=10,
    )
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
