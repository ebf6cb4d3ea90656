"""Tests how ResNet's stem follows from the size of the images."""

from __future__ import annotations

import keras
import pytest

import zoo


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
