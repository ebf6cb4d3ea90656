"""Run directories: who may go on in them, and files that are whole or not there."""

from __future__ import annotations

import itertools
import json
import os
import re

import numpy as np
import pytest

from zoo import files
from zoo.errors import RunError, UserError
from zoo.training import checkpoint
from zoo.training.rundir import RunDir, finished_run

SETTINGS = {"epochs": 3, "learning_rate": 0.1, "num_examples": 1000}
IDENTITY = {
    **{"model": "mlp", "recipe": "default", "dataset_fingerprint": "digits/1.0.0"},
    **{"settings": SETTINGS, "seed": 0},
}
CONFIG = {
    **{"identity": IDENTITY, "dataset_used": "digits", "data_dir": None},
    "data": {"class_names": ["a", "b"], "input_shape": [4, 4, 1]},
}


@pytest.fixture
def run(tmp_path):
    directory = RunDir(tmp_path / "run")
    directory.lock()
    yield directory
    directory.unlock()


def write_config(run):
    files.write_json(run.config, CONFIG)


def test_the_same_run_may_go_on(run):
    write_config(run)
    (run.path / "metrics.csv").write_text("so far")
    run.claim(IDENTITY, overwrite=False)
    assert run.read_config() == CONFIG
    assert (run.path / "metrics.csv").read_text() == "so far"


def test_another_configuration_is_refused_with_the_differences(run):
    write_config(run)
    other = IDENTITY | {"settings": SETTINGS | {"epochs": 5}}
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


LIKE = [np.zeros(3), np.zeros((), np.int64)]


def state(step):
    arrays = [np.full(3, step / 3), np.array(step, np.int64)]
    rows = [{"epoch": 1, "step": step, "loss": 0.1}]
    return checkpoint.State(arrays, checkpoint.Progress(step, rows, 1.5))


def test_the_newest_two_backups_are_kept(tmp_path):
    assert checkpoint.load_newest(tmp_path, LIKE) is None
    (tmp_path / ".step-000000001.12345678.bin").write_text("left by a killed process")
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("step-000000002.bin", "step-000000002.json"),
        *("step-000000010.bin", "step-000000010.json"),
    ]
    newest = checkpoint.load_newest(tmp_path, LIKE)
    assert newest.progress == state(10).progress
    for values, expected in zip(newest.arrays, state(10).arrays, strict=True):
        np.testing.assert_array_equal(values, expected)
        assert values.dtype == expected.dtype


DAMAGES = ["truncate", "extend", "flip", "remove", "manifest", "progress", "deep"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_gives_way_to_the_one_before(tmp_path, damage, capsys):
    for step in (1, 2):
        checkpoint.save(tmp_path, state(step))

    def harm(step):
        arrays = tmp_path / f"step-{step:09d}.bin"
        manifest = arrays.with_suffix(".json")
        content = bytearray(arrays.read_bytes())
        match damage:
            case "truncate":
                arrays.write_bytes(content[:-2])
            case "extend":
                arrays.write_bytes(content + b"x")
            case "flip":
                content[len(content) // 2] ^= 1
                arrays.write_bytes(content)
            case "remove":
                arrays.unlink()
            case "manifest":
                manifest.write_text('{"sha256": 1')
            case "progress":
                manifest.write_text(manifest.read_text().replace("0.1", "0.2"))
            case "deep":
                manifest.write_text("[" * 100_000)

    harm(2)
    assert checkpoint.load_newest(tmp_path, LIKE).progress.step == 1
    err = capsys.readouterr().err
    assert re.fullmatch(r"WARNING: .*step-000000002.bin is damaged .*before.*\n", err)
    harm(1)
    # Also the second time: it must not start over because nothing is left.
    for _ in range(2):
        with pytest.raises(UserError, match="No backup in .* is whole.*--overwrite"):
            checkpoint.load_newest(tmp_path, LIKE)


def test_a_backup_of_another_model_is_damaged(tmp_path, capsys):
    checkpoint.save(tmp_path, state(1))
    with pytest.raises(UserError, match="No backup"):
        checkpoint.load_newest(tmp_path, [np.zeros(7)])
    assert "32 bytes instead of 56" in capsys.readouterr().err


def test_a_pace_in_steps_is_kept_whatever_the_size_of_an_execution():
    pace = checkpoint.BackupInterval(10, done=0, size=0)
    saved = []
    for step in range(4, 60, 4):
        if pace.is_due(step):
            saved.append(step)
            pace.written(step, 0.0)
    assert saved == [12, 20, 32, 40, 52]


def test_a_pace_in_time_costs_less_than_a_sixtieth(monkeypatch):
    now = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    for cost in (0.001, 0.3, 5.0):
        now, spent, times = 0.0, 0.0, []
        pace = checkpoint.BackupInterval(None, done=0, size=int(cost * 100e6))
        for step in range(1, 10_000):
            now += 0.1
            if pace.is_due(step, epoch_ends=step % 20 == 0):
                times.append(now)
                spent, now = spent + cost, now + cost
                pace.written(step, cost)
        assert 0 < spent <= now / 60
        longest = max(b - a for a, b in itertools.pairwise(times))
        assert longest <= max(30, 61 * cost) + 0.2


def test_leftovers_of_a_killed_process_are_not_somebody_elses_files(run):
    (run.path / ".config.0123abcd.json").write_text("{")
    run.claim(IDENTITY, overwrite=False)
    assert [path.name for path in run.path.iterdir()] == [".lock"]


@pytest.mark.parametrize("edit", ["{}", '{"identity": [1]}', '{"a": "\\ud800"}'])
def test_a_config_without_an_identity_is_explained(run, edit):
    run.config.write_text(edit)
    with pytest.raises(UserError, match="config.json"):
        run.claim(IDENTITY, overwrite=False)


def test_paths_in_a_crafted_run_lead_nowhere(run, tmp_path):
    """Nothing in a run directory says where to read or write."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    checkpoint.save(run.backup, state(1))
    manifest = run.backup / "step-000000001.json"
    content = json.loads(manifest.read_text())
    for name in ("path", "arrays", "file"):
        content[name] = content["progress"][name] = "../../victim"
    manifest.write_text(json.dumps(content))
    with pytest.raises(UserError, match="No backup"):
        checkpoint.load_newest(run.backup, LIKE)
    (run.path / "plots").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("mine")
    run.clear()
    assert victim.read_text() == "mine"
    assert (tmp_path / "elsewhere" / "kept").read_text() == "mine"
