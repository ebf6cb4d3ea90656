"""Tests how ResNet's stem follows from the size of the images."""

from __future__ import annotations

import keras
import pytest

import zoo
from zoo.models.resnet import ResNet


@pytest.mark.parametrize(
    ("input_shape", "arguments", "stride"),
    [
        ((32, 32, 3), {}, 1),
        ((33, 20, 3), {}, 2),
        ((20, 224, 3), {}, 8),
        ((224, 224, 3), {"stem_stride": 2}, 2),
        ((32, 32, 3), {"widths": (4, 8), "blocks": (1, 1)}, 2),
    ],
)
def test_the_last_stage_sees_at_most_8_pixels_a_side(input_shape, arguments, stride):
    recipe = zoo.get_recipe("resnet", "tiny").override(
        model={"blocks": (1, 1, 1), **arguments}
    )
    model = zoo.create_model(
        "resnet", input_shape=input_shape, num_classes=2, recipe=recipe
    )
    seen = model.stem(keras.KerasTensor((1, *input_shape)))
    assert seen.shape[1:3] == tuple(-(-side // stride) for side in input_shape[:2])


def test_building_does_not_change_the_config():
    model = ResNet(3, stem_stride=4)
    before = model.get_config()
    model.build((None, 100, 100, 3))
    assert model.get_config() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (8, 16)}, "a number, 1 or more, for each stage"),
        ({"blocks": (1, 0, 1)}, "a number, 1 or more, for each stage"),
        ({"stem_stride": 3}, "another power of 2. Received: 3"),
    ],
)
def test_arguments_that_make_no_network_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet(10, **arguments)
