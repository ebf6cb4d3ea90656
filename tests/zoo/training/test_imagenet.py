"""Tests what starts from weights of ImageNet, with images of which size."""

from __future__ import annotations

import json

import numpy as np
import pytest

import zoo
from tests.zoo.data.written import pixels, save
from zoo.data import load
from zoo.errors import RunError, UserError
from zoo.models import transfer
from zoo.recipe import PHOTOGRAPHS
from zoo.runs.run import open_run
from zoo.training import config as configs
from zoo.training import distribute, job, trainer
from zoo.training.config import Config

SIDE = configs.SIDE


def tree(root, height, width):
    """Writes a tree of colored images of two classes, four for training."""
    for i, name in enumerate(["cat/1", "cat/2", "dog/1", "dog/2"]):
        save(root / f"train/{name}.png", pixels(i, height, width, 3))
        save(root / f"test/{name}.png", pixels(10 + i, height, width, 3))
    return str(root)


@pytest.fixture
def photographed(data_dir, tmp_path):
    """Makes the Config of a training on images of a size, with no flags about size."""

    def make(height, width, model="efficientnet_lite", **fields):
        return Config(
            model=model,
            dataset=tree(tmp_path / f"{height}x{width}", height, width),
            data_dir=str(data_dir),
            run_dir=str(tmp_path / "run"),
            progress="epoch",
            **fields,
        )

    return make


def resolved(asked):
    return job.resolve(configs.find(asked), distribute.place("one"))


def test_larger_photographs_are_resized_and_the_run_records_it(
    photographed, capfd, tmp_path
):
    assert SIDE == 160
    trained = trainer.train(photographed(161, 140, freeze="head"))
    assert capfd.readouterr().out.startswith(
        "Starts from efficientnet_lite/imagenet, with images of 160x160 pixels. "
        "--image_size chooses another size, and --weights=none starts from nothing.\n"
    )
    assert trained.dataset.spec.input_shape == (160, 160, 3)
    content = json.loads(trained.run.config.read_text())
    assert content["image_size"] == [160, 160]
    assert content["identity"]["weights"] == {
        "name": "efficientnet_lite/imagenet",
        "sha256": zoo.weights_info("efficientnet_lite", "imagenet").sha256,
        "image_side": 160,
    }
    again = open_run(trained.run.path)
    assert again.evaluate()["accuracy"] == trained.result["test"]["accuracy"]
    assert again.dataset.spec == trained.dataset.spec
    paths = sorted((tmp_path / "161x140/test").glob("*/*.png"))
    np.testing.assert_allclose(again.predict(paths), trained.outputs, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "image_size", "expected"),
    [
        ((160, 150), None, (160, 150)),
        ((161, 150), None, (160, 160)),
        ((40, 36), None, (40, 36)),
        ((40, 161), None, (160, 160)),
        ((200, 200), (48, 56), (48, 56)),
    ],
)
def test_other_photographs_keep_their_size_or_get_the_one_asked_for(
    size, image_size, expected, photographed, monkeypatch
):
    monkeypatch.setattr(transfer, "load", lambda *_: None)  # which takes seconds
    made = resolved(photographed(*size, image_size=image_size))
    assert made.dataset.spec.input_shape == (*expected, 3)
    assert made.description()["image_size"] == expected


def test_without_weights_photographs_keep_their_size_and_the_recipe_is_another(
    photographed,
):
    made = resolved(photographed(170, 165, weights="none"))
    assert (made.weights, made.given) == (None, None)
    assert made.dataset.spec.input_shape == (170, 165, 3)
    assert not made.recipe.head_first and not made.recipe.freeze_statistics
    names = ("optimizer", "momentum", "weight_decay", "augment", "schedule")
    for name in names:
        assert getattr(made.recipe, name) == getattr(PHOTOGRAPHS, name)
    assert made.identity()["weights"] is None
    assert made.plan.steps >= 1200


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Empties the cache of Keras, and lets its downloads fail."""

    def fail(*args, **kwargs):
        raise OSError("URL fetch failure on https://...: no route to host")

    (tmp_path / "keras" / "models").mkdir(parents=True)
    directory = str(tmp_path / "keras")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", directory)
    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", fail)


def test_weights_that_cannot_be_had_are_one_line_before_the_data_are_read(
    photographed, no_network, monkeypatch, tmp_path
):
    asked = photographed(40, 40, "mobilenet_v2", recipe="small")
    monkeypatch.setattr(load.Source, "read", lambda *_, **__: pytest.fail("read"))
    message = "ImageNet weights of mobilenet_v2: .*no route to host.*--weights=none"
    with pytest.raises(RunError, match=message) as caught:
        trainer.train(asked)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_weights_of_imagenet_are_for_the_networks_that_have_them(photographed):
    with pytest.raises(
        UserError, match="Unknown weights of resnet 'imagenet'. Known: "
    ):
        configs.find(photographed(40, 40, "resnet", weights="imagenet"))
