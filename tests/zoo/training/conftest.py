"""What the tests of whole trainings share: train.py as a process that can be hurt."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

TRAIN = [sys.executable, str(ROOT / "train.py")]
# About ten seconds of training, which none of these tests sees to its end.
LONG = ["--model=mlp", "--dataset=digits", "--epochs=100", "--batch_size=16"]


@pytest.fixture
def start(tmp_path, data_dir, digits):
    """Starts train.py in an empty directory; whatever still runs is killed."""
    processes = []

    def begin(*flags, **options):
        process = subprocess.Popen(
            [*TRAIN, *LONG, f"--data_dir={data_dir}", "--run_dir=run", *flags],
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
    """Waits until a training has written something that matches."""
    for _ in range(1200):
        if any(path.parent.glob(path.name)):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"no {path}: {process.communicate()}")
