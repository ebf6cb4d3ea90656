"""Tests predicting, evaluating, exporting and fine-tuning pretrained weights."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import export
import zoo
from zoo import pretrained
from zoo.errors import RunError, UserError
from zoo.runs import predict as evaluation
from zoo.runs.run import open_run
from zoo.training import pretrained_run, trainer
from zoo.training.config import Config

NAME = "linear/mnist"


@pytest.fixture
def offline(monkeypatch):
    """Makes mnist unavailable, even if this machine has it."""

    def refuse(*_args, **_options):
        raise RunError("no network")

    monkeypatch.setattr(pretrained_run, "read_dataset", refuse)


def test_an_export_is_proved_on_the_sample_where_the_dataset_is_not_at_hand(
    tmp_path, offline, capsys
):
    trained = pretrained_run.adopt(NAME, tmp_path / "run")
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("WARNING: no network ")
    assert "tested on 200 of the 10,000 test images" in said
    content = export.export_run(trained, ["tflite"])
    assert content["tested_on"].startswith("200 of the 10,000 test images of mnist")
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "run in its own runtime over 200 of the 10,000 test images" in card
    assert "They reach 92.63% on the whole test split of mnist" in card
    assert "over the whole test split" not in card
    info = pretrained.find(NAME)
    x, y = info.sample()
    path = tmp_path / "run" / "export" / "tflite" / "model_int8.tflite"
    Image.fromarray(x[0, :, :, 0]).save(tmp_path / "digit.png")
    ((_, said, probability),) = evaluation.predict_images(
        None, str(path), [str(tmp_path / "digit.png")]
    )
    assert (said, probability > 0.5) == (str(info.sample_classes[0]), True)
    # The directory now holds a finished run.
    again = open_run(tmp_path / "run")
    assert again.result["test"]["accuracy"] == pytest.approx(
        (np.array(info.sample_classes) == y).mean()
    )
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert len(rows) == again.result["epochs"]
    # A warning says that the sample is the test split, for exported files too.
    for artifact in (None, str(path)):
        found = evaluation.evaluate(str(tmp_path / "run"), artifact)
        assert found["examples"] == 200
        assert found["accuracy"] > 0.85
        assert "200 of the 10,000 test images of mnist" in capsys.readouterr().err
    # The same directory is allowed again, but not one with other content.
    pretrained_run.adopt(NAME, tmp_path / "run")
    with pytest.raises(UserError, match="--out must be a new directory"):
        pretrained_run.adopt(NAME, tmp_path)


def test_a_run_made_of_weights_finds_its_dataset_again(tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    trained = pretrained_run.adopt(NAME, tmp_path / "run", "digits")
    found = evaluation.evaluate(str(tmp_path / "run"))
    assert found == evaluation.evaluate(weights=NAME, dataset="digits")
    assert found["examples"] == len(trained.dataset.test.y)


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_a_place_that_is_no_directory_is_refused(tmp_path, out):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="--out"):
        pretrained_run.adopt(NAME, tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


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


def test_weights_are_evaluated_on_their_sample_where_nothing_else_is_at_hand(
    offline, capsys
):
    found = evaluation.evaluate(weights=NAME)
    info = pretrained.find(NAME)
    right = np.array(info.sample_classes) == info.sample()[1]
    assert found == {"examples": 200, "accuracy": pytest.approx(right.mean())}
    assert "tested on 200 of the 10,000 test images" in capsys.readouterr().err
    with pytest.raises(RunError):  # a named dataset is never replaced
        evaluation.evaluate(weights=NAME, dataset="mnist")


def test_other_datasets_of_the_same_classes_are_taken(data_dir, digits):
    info = pretrained.find(NAME)
    data = pretrained_run.read_dataset(info, "digits")
    result = evaluation.evaluate(weights=NAME, dataset="digits")
    model = zoo.create_model("linear", weights="mnist")
    said = model.predict(data.test.x, verbose=0).argmax(axis=1)
    assert result["accuracy"] == pytest.approx((said == data.test.y).mean())
    assert result["accuracy"] > 0.5


def test_a_dataset_of_other_classes_is_refused(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(2):
                pixels = np.full((8, 8, 3), 50 * i, np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    with pytest.raises(UserError, match="other images or classes.* of cat, dog. Allow"):
        evaluation.evaluate(weights=NAME, dataset=str(tmp_path))


def test_fine_tuning_records_its_weights_and_starts_from_them(tmp_path, data_dir):
    def train(**fields):
        config = Config(
            model="linear",
            weights="mnist",
            dataset="digits",
            data_dir=str(data_dir),
            run_dir=str(tmp_path / "run"),
            tensorboard=False,
            **fields,
        )
        return trainer.train(config)

    tuned = train(overrides={"epochs": 1, "learning_rate": 1e-12})
    info = pretrained.find(NAME)
    identity = json.loads((tmp_path / "run" / "config.json").read_text())["identity"]
    assert identity["weights"] == {"name": NAME, "sha256": info.sha256}
    # Digits have the classes of mnist, so even the head is the pretrained one.
    given = zoo.create_model("linear", weights="mnist")
    for ours, theirs in zip(tuned.model.weights, given.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    with pytest.raises(UserError, match="weights"):  # without weights it is another run
        trainer.train(
            Config(
                model="linear",
                dataset="digits",
                data_dir=str(data_dir),
                run_dir=str(tmp_path / "run"),
                overrides={"epochs": 1, "learning_rate": 1e-12},
                tensorboard=False,
            )
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze": "dense"}, "--freeze and --recipe=finetune need --weights"),
        ({"model": "resnet", "recipe": "finetune"}, "finetune need --weights"),
        ({"weights": "cifar9"}, "Unknown weights of linear 'cifar9'. Known: mnist"),
    ],
)
def test_what_cannot_be_fine_tuned_is_explained(fields, message):
    with pytest.raises(UserError, match=message):
        Config(**{"model": "linear"} | fields).check()
