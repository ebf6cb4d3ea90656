"""Tests each bound just below and just above its value."""

from __future__ import annotations

import dataclasses
import json
import types

import numpy as np
import pytest

from export import verify
from export.formats import EXACT, FORMATS
from export.verify import bound_problems, compare
from tests.export.conftest import ask
from zoo import registry
from zoo.data.dataset import Split
from zoo.runs.run import Run

FILES = {file.name: file for format in FORMATS.values() for file in format.files}
BOUNDS = {name: file.bound for name, file in FILES.items() if file.bound}
LABELS = np.zeros(10_000, "int32")


def test_outputs_that_are_not_finite_are_caught():
    outputs = np.eye(4, 3, dtype="float32")
    reference = outputs.copy()
    outputs[0] = np.nan
    measured = compare(outputs, reference, LABELS[:4])
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    problems = bound_problems(BOUNDS["int8"], outputs, reference, measured, LABELS[:4])
    assert "outputs that are not finite" in problems


@pytest.mark.parametrize(
    ("name", "size", "wrong", "error", "passes"),
    [
        ("saved_model", 1000, 0, 0.9e-4, True),
        ("saved_model", 1000, 0, 1.2e-4, False),
        ("float32", 1000, 0, 0.9e-4, True),
        ("float32", 1000, 0, 1.2e-4, False),
        ("float32", 1000, 1, 0.0, False),
        ("trainable", 1000, 0, 1.2e-4, False),
        ("float16", 1000, 0, 0.9e-2, True),
        ("float16", 1000, 0, 1.2e-2, False),
        ("dynamic", 10_000, 10, 0.0, True),
        ("dynamic", 10_000, 11, 0.0, False),
        ("int16x8", 10_000, 10, 0.0, True),
        ("int16x8", 10_000, 11, 0.0, False),
        ("int8", 10_000, 30, 0.0, True),
        ("int8", 10_000, 31, 0.0, False),
        # Four examples can be lost by chance, two standard errors, but not five.
        ("dynamic", 360, 4, 0.0, True),
        ("dynamic", 360, 5, 0.0, False),
        ("int8", 100, 4, 0.0, True),
        ("int8", 100, 5, 0.0, False),
    ],
)
def test_every_bound_holds_where_it_is_said_to(name, size, wrong, error, passes):
    """Makes some outputs wrong, and all outputs inexact by an error."""
    reference = np.tile(np.float32([0.75, 0.25]), (size, 1))
    outputs = reference + np.float32([error, 0])
    outputs[:wrong] = outputs[:wrong, ::-1]
    measured = compare(outputs, reference, LABELS[:size])
    assert measured["accuracy_drop"] == pytest.approx(100 * wrong / size)
    problems = bound_problems(BOUNDS[name], outputs, reference, measured, LABELS[:size])
    assert (problems == []) == passes, problems


def test_ties_may_go_either_way():
    reference = np.float32([[0.5, 0.5], [0.6, 0.4]])
    tie = np.float32([[0.49999, 0.50001], [0.6, 0.4]])
    wrong = np.float32([[0.5, 0.5], [0.4, 0.6]])
    for outputs, expected in ((tie, []), (wrong, ["1 examples get another class"])):
        measured = compare(outputs, reference, LABELS[:2])
        problems = bound_problems(EXACT, outputs, reference, measured, LABELS[:2])
        assert [p for p in problems if "class" in p] == expected


def test_an_architecture_may_loosen_a_bound_of_a_recipe(small, monkeypatch):
    assert verify.bound_of(small, FILES["dynamic"]).accuracy_drop == 0.1
    loose = types.SimpleNamespace(
        bounds={"default": {"dynamic": {"accuracy_drop": 0.2}}}
    )
    monkeypatch.setattr(registry, "get_architecture", lambda name: loose)
    assert verify.bound_of(small, FILES["dynamic"]).accuracy_drop == 0.2
    assert verify.bound_of(small, FILES["int8"]) == FILES["int8"].bound
    small.config["identity"]["recipe"] = "best"
    assert verify.bound_of(small, FILES["dynamic"]).accuracy_drop == 0.1


def test_a_slow_file_is_verified_on_evenly_spaced_examples(small):
    file = dataclasses.replace(FILES["float32"], examples=4)
    path, rows = small.run.export / file.path, [0, 119, 239, 359]
    record, problems = verify.verify(small, path, file)
    assert problems == []
    assert record["examples"] == 4
    outputs, _ = ask(path, small.dataset.test.x[rows])
    error = np.abs(outputs - small.outputs[rows]).max()
    assert record["max_abs_error"] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize(
    ("size", "lost", "won", "expected"),
    [
        # Three more are wrong, and two standard errors are 5.3 examples.
        (372, 5, 2, []),
        (372, 12, 1, ["accuracy_drop is 2.96, allowed 2.24"]),
        # A broken file that is right as often by luck.
        (372, 93, 93, ["agreement is 50.00%, allowed 90.00% or more"]),
        (370, 18, 19, []),
        (370, 19, 19, ["agreement is 89.73%, allowed 90.00% or more"]),
        (7, 1, 0, []),
        (7, 1, 1, ["agreement is 71.43%, allowed 85.71% or more"]),
        # A whole test split resolves the bound.
        (10_000, 40, 10, []),
        (10_000, 41, 10, ["accuracy_drop is 0.31, allowed 0.3"]),
        (9_999, 41, 10, []),
    ],
)
def test_chance_is_allowed_for_where_there_are_few_examples(size, lost, won, expected):
    """Plants examples that are lost and others that are won; the rest do not change."""
    right, wrong = np.float32([[0.8, 0.2]]), np.float32([[0.2, 0.8]])
    rest = size - lost - won
    reference = np.concatenate([right] * lost + [wrong] * won + [right] * rest)
    outputs = np.concatenate([wrong] * lost + [right] * won + [right] * rest)
    labels = LABELS[:size]
    measured = compare(outputs, reference, labels)
    found = bound_problems(BOUNDS["int8"], outputs, reference, measured, labels)
    assert found == expected


def test_a_sample_that_loses_more_than_chance_is_caught(small):
    file = dataclasses.replace(
        FILES["int16x8"], path="tflite/model_float32.tflite", examples=100
    )
    answers, _ = ask(small.run.export / file.path, small.dataset.test.x)
    # Classes that the Keras model would always get right, and the file never.
    other = Split(small.dataset.test.x, (answers.argmax(axis=1) + 1) % 10)
    twin = Run(
        small.run,
        dataset=dataclasses.replace(small.dataset, test=other),
        model=small.model,
        outputs=np.eye(10, dtype="float32")[other.y],
    )
    _, problems = verify.verify(twin, small.run.export / file.path, file)
    assert problems == [
        "agreement is 0.00%, allowed 90.00% or more",
        "accuracy_drop is 100, allowed 20.1",
    ]
