"""Tests networks that are made from pretrained weights."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from tests.zoo.models.test_models import examples
from zoo.errors import UserError

IMAGES = {"input_shape": (32, 32, 3), "num_classes": 10}


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


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ("linear", {"num_classes": 3}, "linear is only a head, so none of its weights"),
        ("mlp", {"num_classes": 0}, "whole numbers, 1 or more. .* num_classes=0"),
        ("mlp", {"input_shape": (28, 28)}, "takes images .*Received: .*(28, 28)"),
        ("mlp", {"input_shape": (10, 10, 1)}, "mlp has other weights for images of"),
        ("resnet", {"input_shape": (1,)}, "takes images .*Received: .*(1,)"),
    ],
)
def test_weights_are_for_examples_that_the_model_takes(model, size, message):
    weights = zoo.list_weights(f"{model}/*")[0]
    with pytest.raises(UserError, match=message):
        zoo.create_model(model, weights=weights, **size)


def test_weights_of_another_architecture_are_refused(photographs):
    with pytest.raises(
        UserError, match="of another architecture. .*resnet.* is linear"
    ):
        zoo.create_model("linear", weights=photographs[0])


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
    kernel, bias = head.get_weights()  # of a dense layer or a 1x1 convolution
    logits = whole.predict(x, verbose=0)
    expected = seen @ kernel.reshape(-1, classes) + bias
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
