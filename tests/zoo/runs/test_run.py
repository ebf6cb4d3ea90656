"""Tests runs: their records, their datasets, and copies of pretrained weights."""

from __future__ import annotations

import json
import shutil

import keras
import numpy as np
import pytest

import export
import zoo
from tests.zoo.data.written import class_tree, save
from zoo.errors import RunError, UserError
from zoo.records import weights
from zoo.runs.run import Run, open_run
from zoo.training import trainer
from zoo.training.config import Config, find

NAME = "linear/mnist"


@pytest.fixture
def offline(monkeypatch):
    """Makes mnist unavailable, even if this machine has it."""

    def refuse(self):
        raise RunError("no network")

    monkeypatch.setattr(Run, "_read_own", refuse)


def test_weights_are_tested_on_their_sample_where_the_dataset_is_not_at_hand(
    tmp_path, offline, capsys
):
    run = zoo.open(NAME)
    _, y = zoo.weights_info("linear", "mnist").sample()
    right = np.array(run.result["sample_classes"]) == y
    assert run.evaluate() == {"examples": 200, "accuracy": pytest.approx(right.mean())}
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("WARNING: no network ")
    assert f"{NAME} is tested on 200 of the 10,000 test images" in said
    # A copy is a run like any other, and is exported like any other.
    content = export.export_weights(NAME, tmp_path / "run", ["tflite"])
    assert content["tested_on"].startswith("200 of the 10,000 test images of mnist")
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "run in its own runtime over 200 of the 10,000 test images" in card
    assert "They reach 92.63% on the whole test split of mnist" in card
    assert "over the whole test split" not in card
    for file in ("model.keras", "export/tflite/model_int8.tflite"):
        found = zoo.open(tmp_path / "run" / file).evaluate()
        assert found["examples"] == 200
        assert found["accuracy"] > 0.85
    keras.models.load_model(tmp_path / "run" / "model.keras")


def test_a_copy_needs_a_place_of_its_own(tmp_path):
    run = zoo.open(NAME)
    run.copy_to(tmp_path / "run")
    again = run.copy_to(tmp_path / "run")
    assert again.run.path == tmp_path / "run"
    assert open_run(tmp_path / "run").result == run.result
    with pytest.raises(UserError, match="--out must be a new directory"):
        run.copy_to(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="not a directory"):
        run.copy_to(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_other_datasets_of_the_same_classes_are_taken(data_dir, monkeypatch, digits):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    found = zoo.open(NAME).evaluate("digits")
    said = zoo.create_model("linear", weights="mnist").predict(digits.test.x, verbose=0)
    right = said.argmax(axis=1) == digits.test.y
    assert found == {"examples": 360, "accuracy": pytest.approx(right.mean())}
    with pytest.raises(RunError):  # a named dataset is never replaced
        zoo.open(NAME).evaluate("kmnist")


def test_a_dataset_of_other_classes_is_refused(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            for i in range(2):
                save(tmp_path / split / name / f"{i}.png", np.zeros((8, 8, 3), "u1"))
    with pytest.raises(UserError, match="other images or classes.* of cat, dog. Allow"):
        zoo.open(NAME).evaluate(str(tmp_path))


def test_classes_are_compared_by_their_names_where_names_are_known(tmp_path):
    class_tree(tmp_path / "tree", [f"apple{i}" for i in range(10)], count=2)
    with pytest.raises(UserError, match="other images or classes.* of apple0, apple1"):
        zoo.open("mlp/mnist").evaluate(str(tmp_path / "tree"))


def test_a_sample_does_not_outlive_its_run(tmp_path, digits, data_dir):
    copied = zoo.open(NAME).copy_to(tmp_path / "run")
    assert copied.is_shipped
    config = Config(
        model="linear",
        dataset="digits",
        data_dir=str(data_dir),
        run_dir=str(tmp_path / "run"),
        overwrite=True,
        tensorboard=False,
        overrides={"epochs": 1},
    )
    assert not trainer.train(config).is_shipped
    assert not (tmp_path / "run" / "sample.npz").exists()


def test_a_run_follows_its_data(tmp_path):
    class_tree(tmp_path / "old", ["cat", "dog"], count=12)
    asked = {
        "model": "linear",
        "data_dir": str(tmp_path / "data"),
        "run_dir": str(tmp_path / "run"),
        "tensorboard": False,
        "overrides": {"epochs": 1},
    }
    trainer.train(Config(dataset=str(tmp_path / "old"), **asked))
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(UserError, match="are no longer in .*old. If they have moved"):
        open_run(tmp_path / "run").evaluate()
    assert trainer.train(Config(dataset=str(tmp_path / "new"), **asked)).done_before
    assert open_run(tmp_path / "run").evaluate()["examples"] == 4


def test_data_that_have_changed_since_are_refused(trained_run, tmp_path):
    path = shutil.copytree(trained_run.run.path, tmp_path / "run") / "config.json"
    content = json.loads(path.read_text())
    content["identity"]["dataset_fingerprint"] = "other"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="digits is not what .* was trained on"):
        open_run(tmp_path / "run").evaluate()


def test_fine_tuning_records_its_weights_and_starts_from_them(tmp_path, data_dir):
    asked = {
        "model": "linear",
        "dataset": "digits",
        "data_dir": str(data_dir),
        "run_dir": str(tmp_path / "run"),
        "tensorboard": False,
        "overrides": {"epochs": 1, "learning_rate": 1e-12},
    }
    tuned = trainer.train(Config(weights="mnist", **asked))
    assert tuned.config["identity"]["weights"] == {
        "name": NAME,
        "sha256": weights.find("linear", "mnist").sha256,
    }
    # Digits have the classes of mnist, so even the head is the pretrained one.
    given = zoo.create_model("linear", weights="mnist")
    for ours, theirs in zip(tuned.model.weights, given.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="weights"):  # without weights it is another run
        trainer.train(Config(**asked))


def test_a_run_cannot_be_fine_tuned_in_its_own_directory(trained_run, data_dir):
    place = str(trained_run.run.path)
    asked = {"dataset": "digits", "data_dir": str(data_dir), "run_dir": place}
    config = Config(model="mlp", weights=place, freeze="logits", **asked)
    with pytest.raises(UserError, match="--weights and --run_dir are the same run"):
        trainer.train(config)


def test_weights_for_classes_are_not_trained_on_numbers(tmp_path):
    config = Config(
        model="linear",
        weights="mnist",
        dataset="linear_regression",
        data_dir=str(tmp_path / "data"),
        run_dir=str(tmp_path / "run"),
    )
    with pytest.raises(UserError, match="linear is only a head"):
        trainer.train(config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze": "dense"}, "--freeze and --recipe=finetune need --weights"),
        ({"model": "resnet", "recipe": "finetune"}, "finetune need --weights"),
    ],
)
def test_what_cannot_be_fine_tuned_is_explained(fields, message):
    with pytest.raises(UserError, match=message):
        find(Config(**{"model": "linear"} | fields))
