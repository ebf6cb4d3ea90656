"""Tests the profile of a training step: kinds of operations, and convolutions."""

from __future__ import annotations

import pytest

import zoo
from benchmarks.contestants import step_profile


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("step/allconv/conv/Conv2D:_MklNativeConv2D", "convolution, forward"),
        (
            "step/tape/conv/Conv2DBackpropFilter:_MklNativeConv2DBackpropFilter",
            "convolution, gradient of the kernel",
        ),
        (
            "step/tape/conv/Conv2DBackpropInput:Conv2DBackpropInput",
            "convolution, gradient of the input",
        ),
        (
            "step/norm/FusedBatchNormV3:_MklNativeFusedBatchNormEx",
            "batch normalization",
        ),
        ("step/tape/relu/ReluGrad:ReluGrad", "ReLU"),
        ("step/Cast:Cast", step_profile.REST),
        ("step/while/body/StatefulPartitionedCall:StatefulPartitionedCall", None),
        ("EagerLocalExecute: MakeIterator", None),
        ("ExecutorState::Process", None),
    ],
)
def test_an_event_is_of_a_kind(event, kind):
    assert step_profile.kind_of(event) == kind


def test_the_work_of_the_convolutions_is_that_of_their_formulas():
    model = zoo.create_model(
        "resnet",
        input_shape=(32, 32, 3),
        num_classes=10,
        recipe=zoo.get_recipe("resnet").override(
            model={"widths": [8, 16], "blocks": [1, 1], "stem_stride": 1}
        ),
    )
    stem = 32 * 32 * 9 * 3 * 8
    first = 2 * 32 * 32 * 9 * 8 * 8
    second = 16 * 16 * (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16)
    expected = 2 * (2 * stem + 3 * (first + second))
    assert step_profile.convolution_flops(model) == expected
