"""Run directories: who may go on in them, and files that are whole or not there."""

from __future__ import annotations

import os

import pytest

from zoo import files
from zoo.errors import RunError, UserError
from zoo.training.rundir import RunDir, finished_run

SETTINGS = {"epochs": 3, "learning_rate": 0.1, "num_examples": 1000}
IDENTITY = {
    "model": "mlp",
    "recipe": "default",
    "dataset": "digits/1.0.0",
    "dataset_fingerprint": "digits/1.0.0",
    "settings": SETTINGS,
    "seed": 0,
}
CONFIG = {
    "identity": IDENTITY,
    "dataset_used": "digits",
    "data_dir": None,
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


@pytest.mark.parametrize("content", ["", "[1]", "{}", "\x00", '{"identity": [1]}'])
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


def test_the_same_data_may_have_another_fingerprint(run):
    write_config(run)
    moved = IDENTITY | {"dataset_fingerprint": "sha256", "dataset": "/elsewhere"}
    with pytest.raises(UserError, match="dataset_fingerprint: digits/1.0.0 -> sha256"):
        run.claim(moved, overwrite=False)
    run.claim(
        moved, overwrite=False, is_same_data=lambda recorded: recorded == "digits/1.0.0"
    )


def test_a_symbolic_link_is_removed_and_not_what_it_leads_to(run, tmp_path):
    (run.path / "plots").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("mine")
    run.clear()
    assert not (run.path / "plots").exists()
    assert (tmp_path / "elsewhere" / "kept").read_text() == "mine"
