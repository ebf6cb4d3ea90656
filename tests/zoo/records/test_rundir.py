"""Tests run directories: which runs may resume, and reading their files."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from zoo import files
from zoo.errors import RunError, UserError
from zoo.records.rundir import RunDir, finished_run
from zoo.runs.run import open_run
from zoo.training import summary

SETTINGS = {"epochs": 3, "learning_rate": 0.1, "num_examples": 1000}
IDENTITY = {
    "model": "mlp",
    "recipe": "default",
    "dataset": "digits/1.0.0",
    "dataset_fingerprint": "digits/1.0.0",
    "settings": SETTINGS,
    "seed": 0,
    "resize": "stretch",
}
CONFIG = {
    "identity": IDENTITY,
    "dataset_used": "digits",
    "data_dir": None,
    "data": {"class_names": ["a", "b"], "input_shape": [4, 4, 1]},
}


def test_runs_from_before_there_was_a_choice_have_stretched(run):
    before = {key: IDENTITY[key] for key in IDENTITY if key != "resize"}
    files.write_json(run.config, CONFIG | {"identity": before})
    run.claim(IDENTITY, overwrite=False)
    assert run.read_config() == CONFIG
    with pytest.raises(UserError, match="resize: stretch -> crop"):
        run.claim(IDENTITY | {"resize": "crop"}, overwrite=False)
    files.write_json(run.config, CONFIG | {"identity": before | {"resize": "zoom"}})
    with pytest.raises(UserError, match=r"resize must be one of stretch, .*: zoom"):
        run.read_config()


def weights(name):
    return {"weights": {"name": name, "sha256": "cd"}}


@pytest.fixture
def run(tmp_path):
    directory = RunDir(tmp_path / "run")
    with directory.locked():
        yield directory


def test_the_same_run_may_go_on(run):
    files.write_json(run.config, CONFIG)
    run.metrics.write_text("so far")
    # Files that a killed process left partly written.
    for name in (".config.0123abcd.json", ".model.89abcdef.keras"):
        (run.path / name).write_text("half")
    run.claim(IDENTITY, overwrite=False)
    assert run.read_config() == CONFIG
    assert {path.name for path in run.path.iterdir()} == {
        ".lock",
        "config.json",
        "metrics.csv",
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"settings": SETTINGS | {"epochs": 5}}, r"settings.epochs: 3 -> 5\).*--over"),
        (
            {"dataset_fingerprint": "sha256", "dataset": "/elsewhere"},
            "dataset_fingerprint: digits/1.0.0 -> sha256",
        ),
        (
            {"weights": {"name": "mlp/mnist", "sha256": "ab"}},
            r"\(weights: None -> mlp/mnist\)",
        ),
    ],
)
def test_another_configuration_is_refused_with_the_differences(run, fields, message):
    files.write_json(run.config, CONFIG)
    other = IDENTITY | fields
    with pytest.raises(UserError, match=message):
        run.claim(other, overwrite=False)
    run.claim(IDENTITY | {"dataset": "/moved"}, overwrite=False)
    files.write_json(run.config, CONFIG | {"identity": IDENTITY | weights("mlp/mnist")})
    run.claim(IDENTITY | weights("mnist"), overwrite=False)
    files.write_json(run.config, CONFIG)
    run.claim(other, overwrite=True)
    assert not run.config.exists()


@pytest.mark.parametrize("name", ["thesis.tex", "export/a.py", "backup/old.zip"])
def test_files_that_are_not_a_run_are_never_touched(tmp_path, name):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("years of work")
    directory = RunDir(tmp_path / "mine")
    message = f"not a run directory: {name.split('/')[0]}"
    with pytest.raises(UserError, match=message), directory.locked():
        directory.claim(IDENTITY, overwrite=True)
    with pytest.raises(UserError, match=message):
        directory.check_usable()
    assert not (tmp_path / "mine" / ".lock").exists()
    assert path.read_text() == "years of work"


def test_a_second_process_is_refused_at_once(run):
    with pytest.raises(RunError, match="Another process is working in"):
        RunDir(run.path).check_usable()


def test_a_run_that_is_not_there_or_not_finished_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"There is no run directory .*nothing\.$"):
        finished_run(tmp_path / "nothing")
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    beside = f"Runs beside it: {tmp_path}/a, {tmp_path}/b."
    with pytest.raises(UserError, match=f"nothing. {beside}$"):
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


@pytest.mark.parametrize(
    "edit",
    [
        {"test": []},
        {"num_params": "many"},
        {"train_seconds": 1e300},
        {"strategy": {"name": "one"}},
    ],
)
def test_a_result_edited_by_hand_is_explained(trained_run, tmp_path, edit):
    path = shutil.copytree(trained_run.run.path, tmp_path / "run") / "result.json"
    assert "digits (1,437 / 360 examples)" in summary.summary(open_run(path.parent))
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    with pytest.raises(UserError, match=r"result.json has been edited: "):
        summary.summary(open_run(path.parent))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        RunDir(tmp_path / "run").check_usable()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", "--run_dir is not a directory"),
        ("file/inside", "The run directory cannot be written. Received: --run_dir="),
        ("/proc/run", "The run directory cannot be written. Received: --run_dir="),
        ("a" * 300, "--run_dir"),
    ],
)
def test_a_place_for_no_directory_is_refused(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=message), RunDir(tmp_path / name).locked():
        pytest.fail("locked")


def test_a_symbolic_link_is_removed_and_not_what_it_leads_to(run, tmp_path):
    (run.path / "plots").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("mine")
    run.claim(IDENTITY, overwrite=True)
    assert not (run.path / "plots").exists()
    assert (tmp_path / "elsewhere" / "kept").read_text() == "mine"


def test_weights_of_unknown_content_are_told_apart_by_their_names(run):
    def unknown(name):
        return IDENTITY | {"weights": {"name": name, "sha256": None}}

    files.write_json(run.config, CONFIG | {"identity": unknown("imagenet")})
    run.claim(unknown("imagenet"), overwrite=False)
    with pytest.raises(UserError, match="weights: imagenet -> imagenet/small"):
        run.claim(unknown("imagenet/small"), overwrite=False)
