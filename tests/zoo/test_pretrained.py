"""Tests the pretrained weights of the zoo, and the networks made from them."""

from __future__ import annotations

import json
import os
import shutil

import keras
import numpy as np
import pytest

import zoo
from benchmarks import accuracy
from benchmarks import weights as written
from tests.zoo.models.test_models import examples
from zoo import pretrained
from zoo.errors import UserError

SHIPPED = zoo.list_weights()
IMAGES = {"input_shape": (32, 32, 3), "num_classes": 10}


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A directory with the weights linear/mnist, which tests may damage."""
    for path in pretrained.DIRECTORY.glob("linear-mnist.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(pretrained, "DIRECTORY", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", SHIPPED)
def test_it_classifies_the_sample_as_it_did_when_it_was_written(name):
    model, _, weights = name.partition("/")
    info = zoo.weights_info(model, weights)
    x, y = info.sample()
    network = zoo.create_model(model, weights=weights)
    said = network.predict(x, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(said, info.sample_classes)
    assert x.shape == (written.SAMPLE, *info.input_shape)
    # The accuracy on 200 of the images is that on all, within three deviations.
    deviation = (info.accuracy * (1 - info.accuracy) / written.SAMPLE) ** 0.5
    assert abs((said == y).mean() - info.accuracy) <= 3 * deviation + 1 / written.SAMPLE
    assert network.count_params() == info.parameters
    assert info.path.stat().st_size == info.bytes


@pytest.mark.parametrize("name", SHIPPED)
def test_it_reaches_its_accuracy_on_the_whole_test_split(name):
    model, _, weights = name.partition("/")
    info = zoo.weights_info(model, weights)
    directory = os.environ.get(accuracy.DIRECTORIES[info.dataset], "")
    if not directory:
        pytest.skip(f"{accuracy.DIRECTORIES[info.dataset]} names no directory")
    test = zoo.load_dataset(directory).test
    assert test.sha256() == info.test_sha256
    said = zoo.create_model(model, weights=weights).predict(test.x, verbose=0)
    assert (said.argmax(axis=1) == test.y).mean() == info.accuracy


def test_files_are_small():
    sizes = {name: zoo.weights_info(*name.split("/", 1)).bytes for name in SHIPPED}
    assert all(n < 1_200_000 for name, n in sizes.items() if "convnet" not in name)
    everything = sum(path.stat().st_size for path in pretrained.DIRECTORY.iterdir())
    assert everything < 18_000_000


def test_names_may_be_patterns_and_leave_out_what_is_plain():
    assert zoo.list_models("*conv*") == ["allconv", "convnet"]
    assert "linear" in zoo.list_models(weights=True)
    assert zoo.list_weights("linear/*") == ["linear/mnist"]
    info = zoo.weights_info("linear", "mnist")
    assert (info.name, info.recipe, info.class_names[3]) == ("mnist", "default", "3")


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        (
            "linear",
            "mnits",
            "weights of linear 'mnits'. Known: mnist. Did you .*'mnist'",
        ),
        ("linear", "runs/none", "Unknown weights of linear 'runs/none'"),
        ("linear", "./none", "no run directory|is missing|not a run"),
        ("linear", "none.keras", "none.keras is missing"),
        ("linear", "", "Unknown weights of linear ''. Known: mnist"),
        ("linear", "x" * 300, "Unknown weights of linear 'xxx"),
        ("linear", "x" * 300 + ".keras", "xxx.keras is missing"),
        ("linear", "~no-such-user/none", "no run directory ~no-such-user/none"),
    ],
)
def test_what_is_not_there_is_explained(model, weights, message):
    for find in (
        lambda: zoo.create_model(model, weights=weights),
        lambda: pretrained.origin(model, weights),
    ):
        with pytest.raises(UserError, match=message):
            find()


def test_a_directory_is_not_a_keras_file(tmp_path):
    path = tmp_path / "directory.keras"
    path.mkdir()
    with pytest.raises(UserError, match="directory.keras cannot be read: Is a direct"):
        pretrained.origin("linear", path)
    with pytest.raises(UserError, match="directory.keras cannot be loaded: ") as caught:
        zoo.create_model("linear", weights=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ("linear", {"num_classes": 3}, "linear is only a head, so none of its weights"),
        ("mlp", {"num_classes": 0}, "whole numbers, 1 or more. .* num_classes=0"),
        ("mlp", {"num_classes": -1}, "whole numbers, 1 or more. .* num_classes=-1"),
        ("mlp", {"input_shape": (28, 28)}, "takes images .*Received: .*(28, 28)"),
        ("resnet", {"input_shape": (1,)}, "takes images .*Received: .*(1,)"),
    ],
)
def test_weights_are_for_examples_that_the_model_takes(model, size, message):
    weights = zoo.list_weights(f"{model}/*")[0].removeprefix(f"{model}/")
    with pytest.raises(UserError, match=message):
        zoo.create_model(model, weights=weights, **size)


def test_names_of_weights_are_no_patterns():
    for find in (
        lambda: pretrained.find("lin*/mnist"),
        lambda: zoo.weights_info("lin*", "mnist"),
    ):
        with pytest.raises(UserError, match="Unknown weights"):
            find()


def test_damaged_missing_and_newer_files_are_explained(other):
    path = other / "linear-mnist.weights.h5"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="cannot be used: its sha256 is .* Install"):
        zoo.create_model("linear", weights="mnist")
    path.unlink()
    with pytest.raises(UserError, match="cannot be used: it is missing. Install"):
        zoo.create_model("linear", weights="mnist")
    with pytest.raises(UserError, match="mnist.npz cannot be used"):
        zoo.weights_info("linear", "mnist").sample()
    described = other / "linear-mnist.json"
    newer = json.loads(described.read_text()) | {"format": 2}
    described.write_text(json.dumps(newer))
    with pytest.raises(UserError, match="is of a newer version of the zoo, format 2"):
        zoo.weights_info("linear", "mnist")
    for damage in ({"input_shape": None}, {"accuracy": "high"}, {"run": {}}):
        described.write_text(json.dumps(newer | {"format": 1} | damage))
        with pytest.raises(UserError, match=r"mnist.json has been edited: .*\.$"):
            zoo.weights_info("linear", "mnist")
    described.write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        zoo.weights_info("linear", "mnist")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar10", "resnet/cifar10"),
        ("mlp", "mlp/mnist"),
        ("mlp/mnst", "mlp/mnist|mnist"),
        ("resnet/cifar", "cifar10"),
    ],
)
def test_the_weights_that_may_be_meant_are_named(name, hint):
    with pytest.raises(UserError, match=f"Did you mean '({hint})'"):
        pretrained.find(name)


def test_the_runs_that_may_be_meant_are_named(trained_run, tmp_path):
    (tmp_path / "mine").symlink_to(trained_run.run.path)
    with pytest.raises(UserError, match=f"Known: .*Did you mean '{tmp_path}/mine'"):
        zoo.weights_info("mlp", f"{tmp_path}/min")


def test_weights_are_found_by_their_whole_name_too():
    for name in ("cifar10", "resnet/cifar10"):
        assert zoo.weights_info("resnet", name).name == "cifar10"
    for name in ("cifar10/tiny", "resnet/cifar10/tiny"):
        assert zoo.weights_info("resnet", name).name == "cifar10/tiny"


def test_a_run_and_its_file_are_weights_too(trained_run):
    run = trained_run.run
    for source in (run.path, str(run.path), run.model, str(run.model)):
        model = zoo.create_model("mlp", weights=source)
        for ours, theirs in zip(
            model.get_weights(), trained_run.model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert pretrained.origin("mlp", run.model).input_shape == (28, 28, 1)
    with pytest.raises(UserError, match="of another architecture. .*mlp.*is linear"):
        zoo.create_model("linear", weights=run.path)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A small resnet as a .keras file, with its own moving statistics."""
    recipe = zoo.get_recipe("resnet", "tiny").override(
        model={"widths": [4, 6], "blocks": [1, 1]}
    )
    model = zoo.create_model("resnet", recipe=recipe, **IMAGES)
    x, y = examples(IMAGES["input_shape"], 10)
    model.fit(x, y, verbose=0)
    path = tmp_path_factory.mktemp("weights") / "model.keras"
    model.save(path)
    return path, model


def by_path(model):
    return {w.path.removeprefix(f"{model.name}/"): w.numpy() for w in model.weights}


def test_another_number_of_classes_gets_a_new_head(photographs):
    path, given = photographs
    model = zoo.create_model("resnet", weights=path, num_classes=3)
    old, new = by_path(given), by_path(model)
    assert new["head/kernel"].shape == (6, 3)
    for name in old.keys() - {"head/kernel", "head/bias"}:
        np.testing.assert_array_equal(old[name], new[name])
    same = by_path(zoo.create_model("resnet", weights=path))
    np.testing.assert_array_equal(old["head/kernel"], same["head/kernel"])
    fresh = by_path(zoo.create_model("resnet", weights=path, new_head=True))
    assert not np.array_equal(old["head/kernel"], fresh["head/kernel"])


def test_gray_images_are_seen_as_gray_photographs(photographs):
    path, given = photographs
    gray = examples((32, 32, 1), 10)[0]
    model = zoo.create_model("resnet", weights=path, input_shape=(32, 32, 1))
    np.testing.assert_allclose(
        model.predict(gray, verbose=0),
        given.predict(gray.repeat(3, axis=-1), verbose=0),
        rtol=1e-3,
        atol=1e-4,
    )


def test_larger_images_go_through_the_same_network(photographs):
    path, given = photographs
    model = zoo.create_model("resnet", weights=path, input_shape=(64, 64, 3))
    assert model.stem.stride == given.stem.stride == 2
    assert by_path(model).keys() == by_path(given).keys()


def test_sizes_that_do_not_fit_are_explained(trained_run):
    with pytest.raises(UserError, match="mlp has other weights for images of another"):
        zoo.create_model("mlp", weights=trained_run.run.path, input_shape=(10, 10, 1))


@pytest.mark.parametrize("name", zoo.list_models())
def test_features_are_what_the_head_sees(name):
    shape, classes = (32, 32, 3), 10
    whole = zoo.create_model(name, input_shape=shape, num_classes=classes)
    x = examples(shape, classes)[0]
    features = zoo.create_model(name, input_shape=shape, features=True)
    features.set_weights(whole.get_weights()[: len(features.weights)])
    seen = features.predict(x, verbose=0)
    assert seen.ndim == 2
    head = next(layer for layer in whole.layers if layer.name == whole.head_name)
    if name == "allconv":
        kernel, bias = head.get_weights()
        expected = seen @ kernel[0, 0] + bias
    else:
        expected = head(seen)
    logits = whole.predict(x, verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_layers_before_the_named_one_are_frozen(photographs, tmp_path):
    path, _ = photographs
    model = zoo.create_model("resnet", weights=path, freeze="stage2", num_classes=4)
    x, _ = examples(IMAGES["input_shape"], 10)
    before = by_path(model)
    model.fit(x, np.arange(32) % 4, verbose=0)
    after = by_path(model)
    for name, value in after.items():
        frozen = name.startswith(("stem/", "stage1/"))
        # Moving statistics too: frozen layers normalize as in inference.
        assert np.array_equal(value, before[name]) == frozen, name
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.parameter_names == model.parameter_names
    assert not any(n.startswith(("stem", "stage1")) for n in loaded.parameter_names)
    with pytest.raises(UserError, match="layer to freeze before 'stage9'. Known: head"):
        zoo.create_model("resnet", weights=path, freeze="stage9")
