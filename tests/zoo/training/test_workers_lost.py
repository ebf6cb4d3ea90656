"""Tests that workers stop if one is killed, and that all resume together."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

import zoo
from tests.conftest import ROOT
from tests.zoo.training import workers

pytestmark = pytest.mark.slow

FLAGS = [
    "--model=mlp",
    "--dataset=digits",
    "--epochs=5",
    "--batch_size=64",
    "--backup_steps=5",
    "--deterministic",
    "--export=none",
    "--run_dir=run",
]


@pytest.fixture
def started(tmp_path, data_dir, digits):
    del digits  # the fixture has prepared it

    def start(run_dir="run"):
        arguments = [str(ROOT / "train.py"), *FLAGS, f"--data_dir={data_dir}"]
        return workers.started(2, [*arguments, f"--run_dir={run_dir}"], tmp_path)

    return start


def wait_for_backup(run_dir, processes, after=0, timeout=120):
    """Waits for a backup after the step ``after``; returns its step."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        assert all(process.poll() is None for process in processes)
        found = [int(p.stem.split("-")[1]) for p in run_dir.glob("backup/step-*.npz")]
        if found and max(found) > after:
            return max(found)
        time.sleep(0.05)
    raise AssertionError("no backup was written")


def ended(processes, timeout):
    """Returns the exit codes and outputs, without the warning of few steps."""

    def others(err):
        lines = err.splitlines(keepends=True)
        return "".join(line for line in lines if "gives 110 steps" not in line)

    ends = workers.ended(processes, timeout)
    return [(code, out, others(err)) for code, out, err in ends]


def test_workers_that_are_killed_or_stopped_lose_nothing(started, tmp_path):
    with started("whole") as processes:
        for code, _, err in ended(processes, 200):
            assert (code, err) == (0, "")
    step = 0
    for victim in (1, 0):  # a worker, then the chief
        with started() as processes:
            step = wait_for_backup(tmp_path / "run", processes, after=step + 20)
            processes[victim].kill()
            began = time.monotonic()
            ends = ended(processes, 60)
            assert time.monotonic() - began < 60
        assert ends[victim][0] == -signal.SIGKILL
        code, _, err = ends[1 - victim]
        assert code == 1
        assert len(err.splitlines()) == 1, err
        assert err.startswith(f"Error: Worker {1 - victim} of 2 stops, because another")
        assert "same command" in err
    with started() as processes:
        step = wait_for_backup(tmp_path / "run", processes, after=step)
        processes[1].send_signal(signal.SIGTERM)
        for code, _, err in ended(processes, 60):
            assert code == 143
            assert "Stopped by SIGTERM after step" in err
    with started() as processes:
        (code, out, err), other = ended(processes, 200)
    assert (code, err) == (0, "")
    assert "Resuming run after step" in out
    assert other == (0, "", "")
    for a, b in zip(
        zoo.load_run(tmp_path / "whole").get_weights(),
        zoo.load_run(tmp_path / "run").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_worker_that_waits_for_others_can_be_stopped(started):
    with started() as processes:
        processes[1].kill()
        waiting = processes[0]
        assert waiting.stdout.readline().startswith("Waiting for 2 workers")
        time.sleep(1)  # it prints before it waits
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=20) == -signal.SIGINT  # 130 in a shell


def test_workers_that_differ_are_refused(tmp_path, data_dir, digits):
    del digits
    flags = [*FLAGS, f"--data_dir={data_dir}"]
    code = (
        "import os, runpy, sys, json\n"
        "seed = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        f"sys.argv = ['train.py', *{flags!r}, f'--seed={{seed}}']\n"
        f"runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
    )
    with workers.started(2, ["-c", code], tmp_path) as processes:
        ends = ended(processes, 120)
    # The worker that finds the difference first may end before the other finds it.
    explained = [err for code, _, err in ends if code == 2]
    assert explained and all("The workers differ in what" in err for err in explained)
    assert all("stops" in err for code, _, err in ends if code != 2)
    assert not (tmp_path / "run" / "config.json").exists()
