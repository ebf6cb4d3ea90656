"""Tests what is said about models that cannot be built."""

from __future__ import annotations

import pytest

import zoo
from zoo.errors import UserError


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
