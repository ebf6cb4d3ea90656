"""Fixtures of all tests: TensorFlow, MNIST, datasets, a trained run, commands."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import filelock
import pytest

import zoo
from zoo import startup
from zoo.__main__ import main

ROOT = pathlib.Path(__file__).parents[1]


def deep_are_slow(names):
    """Marks efficientnet_lite as slow, because mobilenet_v2 has the same layers."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] * (name == "efficientnet_lite"))
        for name in names
    ]


def pytest_configure(config):
    # Shells start background processes with SIGINT ignored, and the processes that the
    # tests interrupt would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The tests of tf.distribute need two logical devices, which must be set up first.
    startup.import_keras()
    with startup.quiet():
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


def shared(tmp_path_factory, name, make):
    """Returns a path that all workers share; the first that asks for it makes it.

    Args:
        name: name of the path.
        make: function that writes a file or a folder to the path. If it fails, the next
            worker tries again.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    path, made = root / name, root / f"{name}.made"
    with filelock.FileLock(root / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(path, ignore_errors=True)
            make(path)
            made.touch()
    return path


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> pathlib.Path:
    """The data directory of all tests, with digits and the line."""

    def make(path):
        for name in ("digits", "linear_regression"):
            zoo.load_dataset(name, data_dir=str(path))

    return shared(tmp_path_factory, "data", make)


@pytest.fixture(scope="session")
def digits(data_dir):
    """The digits dataset in memory."""
    return zoo.load_dataset("digits", data_dir=str(data_dir))


@pytest.fixture(scope="session")
def trained_run(data_dir, tmp_path_factory):
    """A finished run of mlp on digits, 3 epochs, without pictures and exports.

    All tests share it. Do not change its directory or its weights; copy the directory
    (shutil.copytree) instead.
    """
    from zoo.runs.run import open_run

    make = functools.partial(
        train_run, data_dir=data_dir, model="mlp", dataset="digits"
    )
    return open_run(shared(tmp_path_factory, "mlp-digits", make))


def of_model(model):
    """Returns the fields of a Config with which an architecture trains on digits.

    Networks for photographs take larger images, and start without the weights that
    others have published, which may have to be downloaded.
    """
    from zoo import registry

    least = registry.get_architecture(model).min_side
    return {"image_size": (least, least), "weights": "none"} if least > 28 else {}


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


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Runs a command of `python -m zoo` in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(
            arguments, end.value.code, said.out, said.err
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
