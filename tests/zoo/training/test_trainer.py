"""Tests whole runs on small data: their files, and how they resume."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import keras
import numpy as np
import pytest

import zoo
from tests.conftest import deep_are_slow
from tests.zoo.data.written import class_tree
from zoo.data import load
from zoo.errors import RunError, UserError
from zoo.records.rundir import RunDir
from zoo.runs import scoring
from zoo.runs.run import open_run
from zoo.training import summary, trainer


@pytest.mark.parametrize("model", deep_are_slow(zoo.list_models()))
def test_a_run_leaves_what_it_should(model, config, capfd):
    asked = config(model, eval_every=2, overrides={"steps_per_epoch": 4})
    outcome = trainer.train(asked)
    train, test = outcome.dataset.train, outcome.dataset.test
    result = json.loads((outcome.run.path / "result.json").read_text())
    assert result == outcome.result
    names = {path.name for path in outcome.run.path.iterdir()}
    files = {"config.json", "metrics.csv", "model.keras", "result.json", ".lock"}
    assert names == files | {"tensorboard"}
    loaded = keras.models.load_model(outcome.run.path / "model.keras")
    right = loaded(test.x).numpy().argmax(axis=1) == test.y
    assert result["test"]["accuracy"] == pytest.approx(right.mean())
    assert result["num_test_examples"] == 360
    assert result["num_train_examples"] == 1437
    assert result["num_params"] == loaded.count_params()
    assert result["dataset"] == result["dataset_requested"] == "digits"
    brightness = outcome.brightness
    assert brightness["lowest"] < brightness["mean"] < brightness["highest"]
    assert brightness["mean"] == pytest.approx(train.x.mean(), abs=1)
    rows = list(csv.DictReader((outcome.run.path / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [bool(row["val_loss"]) for row in rows] == [False, True, True]
    assert int(rows[-1]["step"]) == result["steps"]
    assert float(rows[-1]["loss"]) == result["train"]["loss"]
    assert float(rows[-1]["val_accuracy"]) == pytest.approx(result["test"]["accuracy"])
    outputs = scoring.outputs(loaded, test)
    np.testing.assert_allclose(outcome.outputs, outputs, atol=1e-6)
    # Without a terminal, each epoch prints a line with the numbers of metrics.csv.
    lines = [line.split("  ") for line in capfd.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert ["val_loss" in " ".join(line) for line in lines] == [False, True, True]
    assert f"val_accuracy {float(rows[-1]['val_accuracy']):.4f}" in lines[-1]
    assert lines[-1][-1] == f"{float(rows[-1]['seconds']):.1f} s"


@pytest.mark.parametrize("progress", ["none", "bar"])
def test_other_progress_prints_no_line_of_an_epoch(config, capfd, progress):
    trainer.train(config(progress=progress))
    out = capfd.readouterr().out
    assert not re.search(r"^epoch \d", out, re.MULTILINE)
    assert (out == "") == (progress == "none")


def test_linear_regression_is_compared_with_least_squares(config):
    asked = config("linear", dataset=None)
    outcome = trainer.train(dataclasses.replace(asked, overrides={}))
    result = outcome.result
    data = zoo.load_dataset("linear_regression", data_dir=config().data_dir)
    weight, bias = np.polyfit(data.train.x[:, 0], data.train.y[:, 0], 1)
    assert result["least_squares"]["weight"] == pytest.approx(weight, abs=1e-4)
    assert result["least_squares"]["bias"] == pytest.approx(bias, abs=1e-4)
    assert result["learned"]["weight"] == pytest.approx(weight, abs=0.01)
    assert result["learned"]["bias"] == pytest.approx(bias, abs=0.01)
    text = summary.summary(outcome)
    assert f"{result['learned']['weight']:.4f}" in text
    assert "3.0000  2.0000" in text


def test_a_finished_run_is_left_alone_and_another_one_refused(config):
    first = trainer.train(config())
    before = (first.run.path / "model.keras").stat().st_mtime_ns
    again = trainer.train(config(overrides={"steps_per_execution": 7}))
    assert again.done_before
    assert again.result == first.result
    assert (first.run.path / "model.keras").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"seed: 0 -> 1\).*--overwrite"):
        trainer.train(config(seed=1))
    replaced = trainer.train(config(seed=1, overwrite=True))
    assert not replaced.done_before
    assert replaced.result["seed"] == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"profile_steps": (67, 70)}, r"a step of the training, 1 to 66\. Rec"),
        ({"progress": "loud"}, "Unknown progress 'loud'. Known: auto, bar"),
        ({"validation": float("nan")}, "--validation must be a share"),
    ],
)
def test_what_cannot_be_trained_writes_nothing(config, fields, message, tmp_path):
    with pytest.raises(UserError, match=message):
        trainer.train(config(**fields))
    assert not (tmp_path / "run").exists()


def test_a_busy_default_directory_is_refused_before_data_are_read(
    config, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load.Source, "read", lambda *_, **__: pytest.fail("read"))
    busy = RunDir("runs/mlp-digits")
    message = "process is working in runs/mlp-digits"
    with busy.locked(), pytest.raises(RunError, match=message):
        trainer.train(config(run_dir=None, overwrite=True))


def test_a_folder_for_validation_is_shown_and_the_test_split_evaluated_once(
    config, tmp_path
):
    root = tmp_path / "tree"
    for name, count in (("train", 10), ("test", 4), ("val", 3)):
        class_tree(root / name, count=count)
    asked = config("linear", dataset=str(root), overrides={"batch_size": 10})
    trained = trainer.train(asked)
    result = trained.result
    assert (result["num_train_examples"], result["num_test_examples"]) == (20, 8)
    assert result["num_validation_examples"] == 6
    assert "(20 / 6 / 8 examples)" in summary.summary(trained)
    again = open_run(trained.run.path)
    for split, expected in (("validation", 6), ("test", 8)):
        data = getattr(again.dataset, split)
        assert len(data.y) == expected
        outputs = scoring.outputs(again.model, data)
        loss = -np.log(outputs[np.arange(expected), data.y]).mean()
        assert result[split]["loss"] == pytest.approx(loss, rel=1e-3)
    rows = list(csv.DictReader(trained.run.metrics.open()))
    assert float(rows[-1]["val_loss"]) == result["validation"]["loss"]
    assert trainer.train(asked).done_before
    with pytest.raises(
        UserError, match="folder for validation.*Received: --valid.*=0.1"
    ):
        trainer.train(dataclasses.replace(asked, validation=0.1, overwrite=True))
    (root / "val/cat/0.png").unlink()
    with pytest.raises(UserError, match="its files have changed"):
        open_run(trained.run.path).evaluate()


def test_a_validation_split_is_shown_and_the_test_split_evaluated_once(config):
    trained = trainer.train(config(validation=0.2))
    held_out, result = trained.dataset.validation, trained.result
    assert result["num_train_examples"] == 1437 - len(held_out.y)
    assert result["num_validation_examples"] == len(held_out.y)
    right = trained.outputs.argmax(axis=1) == trained.dataset.test.y
    assert result["test"]["accuracy"] == pytest.approx(right.mean())
    rows = list(csv.DictReader(trained.run.metrics.open()))
    assert float(rows[-1]["val_loss"]) == result["validation"]["loss"]
    assert result["validation"]["loss"] != result["test"]["loss"]
    again = open_run(trained.run.path).dataset
    assert again.spec == trained.dataset.spec
    np.testing.assert_array_equal(again.validation.x, held_out.x)
