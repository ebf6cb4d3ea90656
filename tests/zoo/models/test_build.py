"""Tests what is said about models that cannot be built, and the size of others."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

import zoo
from zoo import registry
from zoo.errors import UserError
from zoo.models import build
from zoo.models.base import TapeModel


@pytest.mark.parametrize(
    ("name", "input_shape", "num_classes", "recipe", "message"),
    [
        (
            "convnt",
            (8, 8, 1),
            2,
            "default",
            "'convnt'. Known: .*resnet. Did .* 'convnet'",
        ),
        ("mlp", (8, 8, 1), 2, "tutorial_kers", "'tutorial_kers'.* 'tutorial_keras'"),
        ("mlp", (0, 8, 1), 2, "default", r"1 or more. Rec.* input_shape=\(0, 8, 1\)"),
        ("convnet", (1,), None, "default", r"takes images .* \(1,\), no classes"),
        ("linear", (8, 8, 1), 2, "tutorial", "is for regression. Rec.*classification"),
    ],
)
def test_what_cannot_be_built_is_explained(
    name, input_shape, num_classes, recipe, message
):
    with pytest.raises(UserError, match=message):
        zoo.create_model(
            name, input_shape=input_shape, num_classes=num_classes, recipe=recipe
        )


@pytest.mark.parametrize(
    ("name", "recipe", "side", "classes", "millions"),
    [
        # Table 4 of the paper: 300 million with 3.4 million parameters.
        ("mobilenet_v2", "default", 224, 1000, 300),
        # ResNet-8 of Banbury et al. 2021, "MLPerf Tiny Benchmark" (arXiv:2106.07597).
        ("resnet", "tiny", 32, 10, 12.5),
    ],
)
def test_multiply_adds_are_those_that_papers_count(
    name, recipe, side, classes, millions
):
    arguments = zoo.get_recipe(name, recipe).model
    model = registry.get_architecture(name).model_class(classes, **arguments)
    model.build((None, side, side, 3))
    assert build.multiply_adds(model) == pytest.approx(millions * 1e6, rel=0.01)


def test_multiply_adds_are_counted_for_each_kind_of_layer():
    class Small(TapeModel):
        stages = ("conv", "depthwise", "head")

        def __init__(self, num_classes):
            super().__init__(num_classes)
            self.conv = keras.layers.Conv2D(5, 3, name="conv")
            self.depthwise = keras.layers.DepthwiseConv2D(
                3, strides=2, depth_multiplier=2, name="depthwise"
            )
            self.head = self.make_head(keras.layers.Dense, num_classes)

        def call(self, image, training=False):
            x = self.depthwise(self.conv(image))  # (batch, 12, 12, 10)
            return self.head(tf.reduce_mean(x, [1, 2]))

    model = Small(7)
    model.build((None, 28, 28, 2))
    expected = 26 * 26 * 5 * (3 * 3 * 2) + 12 * 12 * 10 * (3 * 3) + 10 * 7
    assert build.multiply_adds(model) == expected
