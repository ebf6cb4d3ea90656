"""Scores of a trained model."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo.data import pipeline
from zoo.data.dataset import Split
from zoo.runs import scoring


@pytest.mark.parametrize("num_classes", [10, None])
def test_scores_are_those_of_keras_and_outputs_those_of_predict(num_classes):
    shape = (6, 6, 1) if num_classes else (1,)
    model = zoo.create_model(
        "linear",
        input_shape=shape,
        num_classes=num_classes,
        report_gradient_norm=True,
    )
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (1234, *shape)).astype(np.uint8)
    y = draw.integers(0, 10, 1234).astype(np.int32)
    if num_classes is None:
        x, y = draw.normal(size=(2, 1234, 1)).astype(np.float32)
    evaluate = scoring.Evaluator(model)
    for _ in range(2):  # nothing of the first time is left
        scores, outputs = evaluate(pipeline.evaluation_batches(Split(x, y)))
    expected = model.evaluate(x, y, batch_size=500, verbose=0, return_dict=True)
    assert scores == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(outputs, scoring.outputs(model, Split(x, y)), atol=1e-6)
    assert outputs.dtype == np.float32
