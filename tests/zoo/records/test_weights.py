"""Tests the weights that come with the zoo, and how weights are found by name."""

from __future__ import annotations

import os
import shutil

import pytest

import zoo
from benchmarks import accuracy
from zoo.errors import UserError
from zoo.records import weights
from zoo.runs.open import open as open_source

SHIPPED = weights.list_shipped()


@pytest.mark.parametrize("name", SHIPPED)
def test_they_classify_their_sample_as_they_did_when_they_were_written(name):
    info = zoo.weights_info(*name.split("/", 1))
    opened = open_source(name)
    x, y = info.sample()
    said = opened(x).argmax(axis=1)
    assert said.tolist() == opened.result["sample_classes"]
    assert x.shape == (200, *info.input_shape)
    # The accuracy on 200 of the images is that on all, within three deviations.
    deviation = (info.accuracy * (1 - info.accuracy) / len(y)) ** 0.5
    assert abs((said == y).mean() - info.accuracy) <= 3 * deviation + 1 / len(y)
    assert opened.model.count_params() == info.parameters


@pytest.mark.parametrize("name", SHIPPED)
def test_they_reach_their_accuracy_on_the_whole_test_split(name):
    dataset = name.split("/")[1]
    directory = os.environ.get(accuracy.DIRECTORIES[dataset], "")
    if not directory:
        pytest.skip(f"{accuracy.DIRECTORIES[dataset]} names no directory")
    tested = open_source(name).tested_with(directory)
    assert tested.tested_on == f"the whole test split of {dataset}"
    expected = zoo.weights_info(*name.split("/", 1)).accuracy
    assert tested.evaluate()["accuracy"] == expected


def test_files_are_small():
    sizes = {name: zoo.weights_info(*name.split("/", 1)).bytes for name in SHIPPED}
    assert all(n < 1_200_000 for name, n in sizes.items() if "convnet" not in name)
    files = weights.DIRECTORY.glob("*/*")
    assert sum(path.stat().st_size for path in files) < 20_000_000


def test_names_may_be_patterns_and_leave_out_what_is_plain():
    assert zoo.list_models("*conv*") == ["allconv", "convnet"]
    assert "linear" in zoo.list_models(weights=True)
    assert zoo.list_weights("linear/*") == ["linear/mnist"]
    info = zoo.weights_info("linear", "mnist")
    assert (info.name, info.class_names[3]) == ("linear/mnist", "3")
    for name in ("cifar10", "resnet/cifar10"):
        assert zoo.weights_info("resnet", name).name == "resnet/cifar10"
    # The only weights of a dataset need no recipe.
    assert zoo.weights_info("allconv", "cifar10").name == "allconv/cifar10/photos"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mnits", "weights of linear 'mnits'. Known: mnist. Did you .*'mnist'"),
        ("lin*/mnist", "Unknown weights of linear 'lin"),
        ("./none", "There is no run directory none"),
        ("none.keras", "none.keras is missing"),
        ("", "Unknown weights of linear ''. Known: mnist"),
        ("x" * 300, "Unknown weights of linear 'xxx"),
        ("x" * 300 + ".keras", "xxx.keras is missing"),
        ("~no-such-user/none", "no run directory ~no-such-user/none"),
    ],
)
def test_what_is_not_there_is_explained(given, message):
    with pytest.raises(UserError, match=message):
        weights.find("linear", given)


def test_the_runs_that_may_be_meant_are_named(trained_run, tmp_path):
    (tmp_path / "mine").symlink_to(trained_run.run.path)
    with pytest.raises(UserError, match=f"Known: .*Did you mean '{tmp_path}/mine'"):
        zoo.weights_info("mlp", f"{tmp_path}/min")


def test_a_run_and_its_file_know_what_they_are_for(trained_run, tmp_path):
    for source in (trained_run.run.path, trained_run.run.model):
        found = weights.find("mlp", source)
        assert found.path == trained_run.run.model
        assert found.input_shape == (28, 28, 1)
        assert found.class_names == trained_run.class_names
    shutil.copy(trained_run.run.model, tmp_path / "alone.keras")
    assert weights.find("mlp", tmp_path / "alone.keras").class_names is None


def test_damage_is_one_line_that_names_the_file(tmp_path, monkeypatch):
    shutil.copytree(weights.DIRECTORY / "linear-mnist", tmp_path / "linear-mnist")
    monkeypatch.setattr(weights, "DIRECTORY", tmp_path)
    model = tmp_path / "linear-mnist" / "model.keras"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(UserError, match="model.keras cannot be loaded: ") as caught:
        zoo.create_model("linear", weights="mnist")
    assert "\n" not in str(caught.value)
    (tmp_path / "linear-mnist" / "sample.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="sample.npz cannot be used"):
        zoo.weights_info("linear", "mnist").sample()
    model.unlink()
    with pytest.raises(UserError, match="model.keras is missing"):
        weights.find("linear", "mnist")
