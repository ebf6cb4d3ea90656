"""What all tests share: TensorFlow started once, MNIST where there is one."""

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
    # Shells start what runs in the background with SIGINT ignored, and processes that
    # the tests interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Two logical devices, for the tests of tf.distribute; before anything runs.
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
    """The directory of the four IDX files of MNIST; skips where there is none."""
    path = pathlib.Path(os.environ.get("MNIST_DIR", ROOT.parent / "shared" / "mnist"))
    if not (path / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"MNIST is not in {path}; set MNIST_DIR to its directory")
    return path


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> pathlib.Path:
    """Where this worker's tests prepare datasets."""
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="session")
def digits(data_dir):
    """The digits dataset in memory."""
    import zoo

    return zoo.load_dataset("digits", data_dir=str(data_dir))


@pytest.fixture(scope="session")
def trained_run(data_dir, tmp_path_factory):
    """A finished run: mlp on digits, 3 epochs, neither drawn nor exported.

    All tests of a worker share it: leave its directory and its weights as they are, and
    copy the directory (shutil.copytree) to change what is in it.
    """
    path = tmp_path_factory.mktemp("trained") / "mlp-digits"
    return train_run(path, data_dir, "mlp", "digits")


def train_run(path, data_dir, model, dataset):
    """Trains for 3 epochs; returns the TrainedRun as it is on disk."""
    from zoo.training import trainer
    from zoo.training.config import Config
    from zoo.training.outcome import open_run

    places = {"data_dir": str(data_dir), "run_dir": str(path)}
    config = Config(model=model, dataset=dataset, overrides={"epochs": 3}, **places)
    trainer.train(config)
    return open_run(path)


@pytest.fixture
def command(tmp_path):
    """Runs a command line of the project as its users do, in an empty directory."""

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
    """One line on stderr, exit code 2, nothing written, no TensorFlow imported."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "import time:" not in line]
    assert len(lines) == 1, done.stderr
    assert re.search(message, lines[0]), lines[0]
    assert "tensorflow.python" not in done.stderr
    assert list(tmp_path.iterdir()) == []
