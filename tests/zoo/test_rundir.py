"""Run directories: who may go on in them, and files that are whole or not there."""

from __future__ import annotations

import os

import numpy as np
import pytest

from zoo import backup, files
from zoo.errors import RunError, UserError
from zoo.rundir import REQUIRED, RunDir, finished_run

IDENTITY = {"model": "mlp", "settings": {"epochs": 3, "learning_rate": 0.1}}


@pytest.fixture
def run(tmp_path):
    directory = RunDir(tmp_path / "run")
    directory.lock()
    yield directory
    directory.unlock()


def write_config(run):
    content = dict.fromkeys(REQUIRED["config.json"])
    files.write_json(run.config, content | {"identity": IDENTITY})


def test_the_same_run_may_go_on(run):
    run.claim(IDENTITY, overwrite=False)
    write_config(run)
    run.claim(IDENTITY, overwrite=False)


def test_another_configuration_is_refused_with_the_differences(run):
    write_config(run)
    other = {"model": "mlp", "settings": {"epochs": 5, "learning_rate": 0.1}}
    with pytest.raises(UserError, match=r"settings.epochs: 3 -> 5\).*--overwrite"):
        run.claim(other, overwrite=False)
    run.claim(other, overwrite=True)
    assert not run.config.exists()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "export/a.py", "backup/old.zip"])
def test_files_that_are_not_a_run_are_never_touched(tmp_path, name, overwrite):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("years of work")
    directory = RunDir(tmp_path / "mine")
    message = f"not a run directory: {name.split('/')[0]}"
    with pytest.raises(UserError, match=message):
        directory.lock()
    assert not (tmp_path / "mine" / ".lock").exists()
    with pytest.raises(UserError, match=message):
        directory.claim(IDENTITY, overwrite=overwrite)
    assert path.read_text() == "years of work"


def test_what_a_killed_process_left_half_written_is_removed(run):
    for name in (".config.0123abcd.json", ".model.89abcdef.keras"):
        (run.path / name).write_text("half")
    run.claim(IDENTITY, overwrite=False)
    assert [entry.name for entry in run.path.iterdir()] == [".lock"]


def test_a_name_that_is_too_long_is_explained():
    with pytest.raises(UserError, match="--run_dir"):
        RunDir("a" * 300).lock()


def test_a_second_process_is_refused_at_once(run):
    with pytest.raises(RunError, match="Another process is working in"):
        RunDir(run.path).lock()


def test_a_run_that_is_not_there_or_not_finished_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no run directory"):
        finished_run(tmp_path / "nothing")
    with pytest.raises(UserError, match="is not a run: it has no config.json"):
        finished_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is not finished"):
        finished_run(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", "{", "{}", "\x00", "[" * 100_000])
def test_a_config_edited_by_hand_is_explained(run, content):
    run.config.write_text(content)
    with pytest.raises(UserError, match="config.json"):
        run.claim(IDENTITY, overwrite=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        RunDir(tmp_path / "run").lock()


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="not a directory"):
        RunDir(tmp_path / "run").lock()
    with pytest.raises(UserError, match="cannot be written"):
        RunDir(tmp_path / "run" / "inside").lock()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), files.replacing(path) as beside:
        beside.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def state(value):
    return backup.State({"a": np.full(3, value)}, {"step": value})


def test_the_newest_two_backups_are_kept(tmp_path):
    assert backup.load_newest(tmp_path) is None
    for step in (1, 2, 10):
        backup.save(tmp_path, state(step), step)
    assert sorted(p.name for p in tmp_path.glob("*.npz")) == [
        "step-000000002.npz",
        "step-000000010.npz",
    ]
    newest = backup.load_newest(tmp_path)
    assert newest.progress == {"step": 10}
    np.testing.assert_array_equal(newest.arrays["a"], [10, 10, 10])


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest"])
def test_a_damaged_backup_gives_way_to_the_one_before(tmp_path, damage):
    for step in (1, 2):
        backup.save(tmp_path, state(step), step)

    def harm(step):
        arrays = tmp_path / f"step-{step:09d}.npz"
        content = bytearray(arrays.read_bytes())
        match damage:
            case "truncate":
                arrays.write_bytes(content[:-20])
            case "flip":
                content[len(content) // 2] ^= 1
                arrays.write_bytes(content)
            case "remove":
                arrays.unlink()
            case "manifest":
                arrays.with_suffix(".json").write_text('{"sha256": 1')

    harm(2)
    with pytest.warns(UserWarning, match="step-000000002.npz is damaged"):
        assert backup.load_newest(tmp_path).progress == {"step": 1}
    harm(1)
    with (
        pytest.warns(UserWarning, match="step-000000001.npz is damaged"),
        pytest.raises(UserError, match="No backup in .* is whole. Pass --overwrite"),
    ):
        backup.load_newest(tmp_path)
