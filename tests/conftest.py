"""Fixtures of all tests: TensorFlow, MNIST, datasets, a trained run, commands."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from zoo import startup

ROOT = pathlib.Path(__file__).parents[1]


def pytest_configure(config):
    # Shells start background processes with SIGINT ignored, and the processes that the
    # tests interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The tests of tf.distribute need two logical devices, which must be set up first.
    with startup.quiet_stderr():
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    startup.start()


@pytest.fixture(autouse=True)
def _seed():
    import keras

    keras.utils.set_random_seed(1)


@pytest.fixture(scope="session")
def mnist_dir() -> pathlib.Path:
    """The directory of MNIST's four IDX files; skips the test if there is none."""
    path = pathlib.Path(os.environ.get("MNIST_DIR", ROOT.parent / "shared" / "mnist"))
    if not (path / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"MNIST is not in {path}; set MNIST_DIR to its directory")
    return path


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> pathlib.Path:
    """The data directory of this worker's tests."""
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="session")
def digits(data_dir):
    """The digits dataset in memory."""
    import zoo

    return zoo.load_dataset("digits", data_dir=str(data_dir))


@pytest.fixture(scope="session")
def trained_run(data_dir, tmp_path_factory):
    """A finished run of mlp on digits, 3 epochs, without pictures and exports.

    All tests of a worker share it. Do not change its directory or its weights; copy the
    directory (shutil.copytree) instead.
    """
    path = tmp_path_factory.mktemp("trained") / "mlp-digits"
    return train_run(path, data_dir, "mlp", "digits")


def train_run(path, data_dir, model, dataset):
    """Trains for 3 epochs; returns the Run, read from disk."""
    from zoo.runs.run import open_run
    from zoo.training import trainer
    from zoo.training.config import Config

    places = {"data_dir": str(data_dir), "run_dir": str(path)}
    config = Config(model=model, dataset=dataset, overrides={"epochs": 3}, **places)
    trainer.train(config)
    return open_run(path)


@pytest.fixture
def command(tmp_path):
    """Runs a command line of the project in an empty directory, as users do."""

    def run(*arguments: str, timeout: float = 120, **env: str):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def check_user_error(done, message, tmp_path):
    """Checks for one line on stderr, exit code 2, no files, and no TensorFlow."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "import time:" not in line]
    assert len(lines) == 1, done.stderr
    assert re.search(message, lines[0]), lines[0]
    assert "tensorflow.python" not in done.stderr
    assert list(tmp_path.iterdir()) == []
