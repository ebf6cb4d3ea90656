"""Tests how ResNet's stem follows from the size of the images, and its rounding."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.training.trainer import dtype_policy


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


def test_features_are_rounded_as_in_the_published_trainings():
    with dtype_policy("mixed_bfloat16"):
        model = zoo.create_model("resnet", input_shape=(32, 32, 3), features=True)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
    features = model(images)
    assert features.dtype == tf.float32
    rounded = tf.cast(tf.cast(features, tf.bfloat16), tf.float32)
    np.testing.assert_array_equal(features, rounded)
