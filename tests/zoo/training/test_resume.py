"""Runs that are killed, stopped, crowded or damaged, and what they come to."""

from __future__ import annotations

import json
import os
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
from tests.soak.kills import CASES, differences
from tests.zoo.training.conftest import wait_for


def driver(case, tmp_path, data_dir, kills=5):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.soak.kills",
            f"--case={case}",
            f"--directory={tmp_path}",
            f"--data_dir={data_dir}",
            f"--kills={kills}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# The case with everything in it always; the others where there is time for them.
KILLED = [
    case if case == "dropout" else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES
]


def test_every_model_is_killed():
    assert set(zoo.list_models()) <= set(CASES)


@pytest.mark.parametrize("case", KILLED)
def test_killed_five_times_and_the_same_to_the_last_bit(
    case, tmp_path, data_dir, digits
):
    found = driver(case, tmp_path, data_dir)
    assert found["kills"] == 5
    assert found["lost"] == []


@pytest.mark.slow
def test_every_optimizer_goes_on_with_the_same_bits(tmp_path, data_dir, digits):
    found = driver("optimizers", tmp_path, data_dir)
    assert len(found) == 8
    assert [lost for lost in found.values() if lost] == []


def test_the_comparison_sees_one_bit(tmp_path, data_dir, digits):
    driver("linear", tmp_path, data_dir, kills=0)
    a, b = tmp_path / "whole", tmp_path / "copy"
    shutil.copytree(a, b)
    assert differences(a, b) == []
    result = json.loads((b / "result.json").read_text())
    loss = np.nextafter(result["train"]["loss"], 1)
    (b / "result.json").write_text(
        json.dumps(result | {"train": {**result["train"], "loss": loss}})
    )
    model = keras.models.load_model(b / "model.keras")
    weights = model.get_weights()
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(1))
    model.set_weights(weights)
    model.save(b / "model.keras")
    found = differences(a, b)
    assert "result.json: train" in found
    assert sum("model.keras" in what for what in found) == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_the_step_and_says_how_to_go_on(start, tmp_path, number, code):
    # No backup is due by itself, so the one that is found is the signal's.
    process = start("--backup_steps=1000000", "--progress=epoch")
    wait_for(tmp_path / "run" / "metrics.csv", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    name = signal.Signals(number).name
    stopping, stopped = err.splitlines()
    assert stopping == "Stopping after this step; a second Ctrl-C stops at once."
    found = re.fullmatch(
        rf"Stopped by {name} after step (\d+) of \d+; a backup is in run/backup. Run "
        r"the same command again to go on.",
        stopped,
    )
    assert found, stopped
    backups = [path.name for path in (tmp_path / "run/backup").iterdir()]
    assert backups == [f"step-{int(found[1]):09d}.npz"]
    again = start("--backup_steps=1")
    wait_for(tmp_path / "run/backup" / f"step-*{int(found[1]) + 25}.npz", again)
    again.send_signal(signal.SIGTERM)
    out, _ = again.communicate(timeout=60)
    assert out.startswith(f"Resuming run after step {found[1]} of ")


def test_a_second_ctrl_c_stops_at_once(start, tmp_path):
    # An execution of a whole epoch: the step that is waited for takes a while.
    process = start("--steps_per_execution=1000000", "--epochs=10000")
    wait_for(tmp_path / "run" / "metrics.csv", process)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("Stopping after this step")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=2) in (-signal.SIGINT, 130)


def test_a_second_process_is_refused_and_touches_nothing(start, tmp_path):
    first = start("--backup_steps=1000000")
    wait_for(tmp_path / "run" / "metrics.csv", first)
    os.kill(first.pid, signal.SIGSTOP)
    before = {
        path: path.stat().st_mtime_ns for path in [*(tmp_path / "run").rglob("*")]
    }
    for flags in (["--overwrite"], ["--seed=3", "--dataset=mnist"]):
        second = start(*flags)
        out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (1, "")
        assert re.fullmatch(r"Error: Another process is working in run\. .*\n", err)
    after = {path: path.stat().st_mtime_ns for path in [*(tmp_path / "run").rglob("*")]}
    assert after == before
    # The lock dies with its process.
    first.kill()
    first.wait()
    third = start("--epochs=2")
    _, err = third.communicate(timeout=60)
    assert "holds a run of another configuration" in err


def test_a_loss_that_is_not_finite_stops_the_run(start, tmp_path):
    process = start(
        "--model=linear",
        "--dataset=linear_regression",
        "--optimizer=sgd",
        "--learning_rate=3",
        "--backup_steps=5",
        "--schedule=constant",
        "--batch_size=100",
        "--epochs=10",
        "--steps_per_execution=5",
        "--eval_every=10",
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    found = re.fullmatch(
        r"Error: Not finite at step (\d+) of 100: loss. Received: loss (inf|nan), "
        r"learning rate 3. The backup of step (\d+) stays in run/backup. Try a lower "
        r"--learning_rate, such as 0.3, .*\n",
        err,
    )
    assert found, err
    step, kept = int(found[1]), int(found[3])
    assert step - 10 < kept < step
    (newest,) = (tmp_path / "run/backup").glob(f"step-{kept:09d}.npz")
    with np.load(newest) as backup:
        assert np.isfinite(backup["0"]).all()
        assert np.isfinite(backup["1"]).all()
    assert not (tmp_path / "run/result.json").exists()
