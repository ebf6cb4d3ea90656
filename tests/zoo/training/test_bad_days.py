"""Disks that are full, read-only or gone, and files that are not what they seem."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import zipfile

import keras
import pytest

import zoo
from tests.zoo.training.conftest import wait_for
from zoo import evaluation, files
from zoo.errors import RunError, UserError
from zoo.training import trainer
from zoo.training.config import Config


def obey_permissions():
    """Root may write anywhere, but for this: CAP_DAC_OVERRIDE and its like dropped."""
    if os.geteuid() == 0:
        drop = 24  # PR_CAPBSET_DROP; what is dropped stays so after exec
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0)


def backups(run):
    return {path.name: path.read_bytes() for path in (run / "backup").glob("step-*")}


def check_failed(process, message, code=1):
    """One line on stderr, and the exit code."""
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert re.fullmatch(rf"Error: [^\n]*{message}[^\n]*\n", err), err


@pytest.fixture
def stopped(start, tmp_path):
    """A run that was stopped after its first epoch, with one backup."""
    process = start("--backup_steps=1000000")
    wait_for(tmp_path / "run" / "metrics.csv", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert backups(tmp_path / "run")
    return tmp_path / "run"


@contextlib.contextmanager
def mounted(disk, options):
    """A file system of its own in memory, at ``disk``."""
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))


def test_a_limit_of_the_size_of_files(start, stopped):
    before = backups(stopped)
    process = start("--backup_steps=1", preexec_fn=small_files)
    check_failed(process, r"Writing to run failed: File too large .*backup is as it")
    assert backups(stopped) == before
    assert [p.name for p in (stopped / "backup").iterdir()] == list(before)


def test_a_limit_that_only_the_model_exceeds(start, tmp_path):
    flags = ("--epochs=1", "--backup_steps=1000000")
    process = start(*flags, preexec_fn=small_files)
    check_failed(process, "Writing to run failed: File too large .*Then run the same")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".lock", "config.json", "metrics.csv", "tensorboard"}
    process = start(*flags, "--export=none")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (tmp_path / "run/model.keras").exists()


def test_a_full_disk(start, tmp_path):
    # Room for two backups of 2.8 MB, not for a third beside them.
    with mounted(tmp_path / "run", "size=7m"):
        process = start("--backup_steps=100")
        check_failed(process, "Writing to run failed: No space left on device")
        kept = backups(tmp_path / "run")
        assert len(kept) == 2
        shutil.copytree(tmp_path / "run", tmp_path / "kept")
    # What was good goes on where there is room.
    step = int(max(kept).removeprefix("step-").removesuffix(".npz"))
    process = start("--run_dir=kept", "--backup_steps=100")
    wait_for(tmp_path / f"kept/backup/step-*{step // 100 + 1}??.npz", process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert out.startswith(f"Resuming kept after step {step} of")


def test_a_directory_that_may_no_longer_be_written(start, tmp_path):
    process = start("--backup_steps=1", preexec_fn=obey_permissions)
    wait_for(tmp_path / "run/backup/step-*", process)
    (tmp_path / "run/backup").chmod(0o500)
    check_failed(process, "Writing to run failed: Permission denied")
    assert backups(tmp_path / "run")
    process = start("--run_dir=run/backup/new", preexec_fn=obey_permissions)
    check_failed(process, "run directory cannot be written", code=2)


def test_a_read_only_file_system(start, tmp_path):
    with mounted(tmp_path / "disk", "ro"):
        process = start("--run_dir=disk/run")
        check_failed(process, "file system of --run_dir=disk/run is read-only")


def test_a_run_dir_that_is_removed(start, tmp_path):
    process = start("--backup_steps=1")
    wait_for(tmp_path / "run/backup/step-*", process)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    check_failed(process, "Writing to run failed: No such file or directory")
    assert backups(tmp_path / "elsewhere")


@pytest.fixture
def finished(tmp_path, data_dir, digits):
    config = Config(
        model="linear",
        dataset="digits",
        run_dir=str(tmp_path / "run"),
        overrides={"epochs": 1, "min_steps": 0},
        data_dir=str(data_dir),
    )
    trainer.train(config)
    return config


def test_a_model_file_is_never_code(finished, tmp_path):
    """Neither a Lambda layer nor a pickle of a crafted model.keras is run."""
    victim = tmp_path / "victim"
    path = str(victim)
    layer = keras.layers.Lambda(lambda x: [os.mkdir(path), x][1])  # noqa: PTH102
    model = keras.Sequential([keras.Input((28, 28, 1)), layer])
    model.save(tmp_path / "run" / "model.keras")
    with pytest.raises(UserError, match=r"cannot be loaded: .*[Ll]ambda") as caught:
        zoo.load_run(tmp_path / "run")
    assert len(" ".join(str(caught.value).split())) < 1000
    victim.rmdir()  # made when the layer was called for its shape, here
    with zipfile.ZipFile(tmp_path / "run" / "model.keras", "a") as archive:
        archive.writestr("assets/../../../victim", "x")
    with pytest.raises(UserError, match="cannot be loaded"):
        zoo.load_run(tmp_path / "run")
    assert not victim.exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda result: {},
        lambda result: result | {"test": []},
        lambda result: result | {"num_params": "many"},
        lambda result: result | {"train_seconds": 1e300},
    ],
)
def test_a_result_edited_by_hand_is_explained(finished, tmp_path, edit):
    path = tmp_path / "run" / "result.json"
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    with pytest.raises(UserError, match=r"result.json has been edited: "):
        assert trainer.train(finished).result


def test_an_error_while_writing_names_the_file(finished, tmp_path, monkeypatch):
    def full(path, rows):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_csv", full)
    with pytest.raises(RunError, match=r"No space left on device \(.*metrics.csv\)"):
        trainer.train(Config(**{**vars(finished), "overwrite": True}))


def test_a_run_of_somebody_else_makes_nobody_write(finished, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    path = tmp_path / "run" / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"data_dir": str(victim)})
    )
    with pytest.raises(UserError, match="digits is not prepared in .*victim"):
        evaluation.evaluate(str(tmp_path / "run"), None)
    assert not list(victim.iterdir())
