"""Tests disks that are full, read-only or gone, and damaged or malicious files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import zipfile

import keras
import pytest

import zoo
from zoo.errors import Interrupted, RunError, UserError
from zoo.training import trainer


def backups(run):
    return {path.name: path.read_bytes() for path in (run / "backup").glob("*")}


@contextlib.contextmanager
def small_files():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_of_the_size_of_files(config, at_step, tmp_path):
    at_step(22, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        trainer.train(config(backup_steps=1000))
    before = backups(tmp_path / "run")
    message = r"Writing to .*run failed: File too large .*backup is unharmed"
    with small_files(), pytest.raises(RunError, match=message):
        trainer.train(config(backup_steps=1))
    assert backups(tmp_path / "run") == before
    assert len(before) == 1


def test_a_limit_that_only_the_model_exceeds(config, tmp_path):
    asked = config(overrides={"epochs": 1}, backup_steps=1000)
    message = "Writing to .*run failed: File too large .*Then run the same"
    with small_files(), pytest.raises(RunError, match=message):
        trainer.train(asked)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".lock", "config.json", "metrics.csv", "tensorboard"}
    trainer.train(asked)
    assert (tmp_path / "run/model.keras").exists()


def test_a_run_dir_that_is_removed(config, at_step, tmp_path):
    at_step(10, lambda: (tmp_path / "run").rename(tmp_path / "elsewhere"))
    with pytest.raises(RunError, match=r"No such file or directory \(.*run/.*\)"):
        trainer.train(config(backup_steps=1))
    assert backups(tmp_path / "elsewhere")


@pytest.fixture
def copied(trained_run, tmp_path):
    """A finished run whose files tests may damage."""
    return shutil.copytree(trained_run.run.path, tmp_path / "run")


def test_a_model_file_is_never_code(copied, tmp_path):
    """Neither a Lambda layer nor a pickle in a crafted model.keras runs."""
    victim = tmp_path / "victim"
    path = str(victim)
    layer = keras.layers.Lambda(lambda x: [os.mkdir(path), x][1])  # noqa: PTH102
    model = keras.Sequential([keras.Input((28, 28, 1)), layer])
    model.save(copied / "model.keras")
    with pytest.raises(UserError, match=r"cannot be loaded: .*[Ll]ambda") as caught:
        zoo.load_run(copied)
    assert len(" ".join(str(caught.value).split())) < 1000
    victim.rmdir()  # this test called the layer for its shape, which made it
    with zipfile.ZipFile(copied / "model.keras", "a") as archive:
        archive.writestr("assets/../../../victim", "x")
    with pytest.raises(UserError, match="cannot be loaded"):
        zoo.load_run(copied)
    assert not victim.exists()
