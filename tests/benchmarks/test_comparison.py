"""Tests the command, the order of contestants, and a contestant that dies."""

from __future__ import annotations

import os

import pytest

import zoo
from benchmarks import __main__ as bench
from benchmarks import comparison, data, fit
from benchmarks.contestants import keras_fit
from zoo.errors import RunError, UserError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ft"], "Unknown comparison 'ft'. Known: device, fi.*Did you mean 'fit'"),
        (["startup", "--rounds=0"], "--rounds=0: .*positive integer"),
        (["startup"], "MNIST_DIR must be .*train-images.* Received: /"),
    ],
)
def test_a_mistake_is_explained(arguments, message, monkeypatch):
    monkeypatch.setenv("MNIST_DIR", "/")
    with pytest.raises(UserError, match=message):
        bench.main(["benchmarks", *arguments])


def test_peers_that_are_missing_are_named():
    comparison.require(["json", "numpy"])
    with pytest.raises(UserError, match="Not installed: nosuch_peer, other_peer. `ma"):
        comparison.require(["json", "nosuch_peer", "other_peer"])


@pytest.mark.parametrize("model_name", fit.WORK)
def test_the_peers_have_as_many_weights_as_the_zoo(model_name):
    shape = (28, 28, 1) if model_name in data.ON_MNIST else (32, 32, 3)
    ours = zoo.create_model(model_name, input_shape=shape, num_classes=10)
    assert keras_fit.network(model_name).count_params() == ours.count_params()


def prepare(answer):
    """A contestant that answers with a number, or dies."""
    return lambda: float(answer) if answer != "death" else os._exit(3)


def test_contestants_work_in_turns_and_the_first_round_does_not_count():
    worked = []

    def work(name, seconds):
        worked.append(name)
        return seconds.pop(0)

    works = {
        "a": lambda a=[9.0, 1.0, 2.0]: work("a", a),
        "b": lambda b=[9.0, 3.0, 4.0]: work("b", b),
    }
    found = comparison.interleaved(works, rounds=2)
    assert found == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert "".join(worked) == "baabba"
    assert comparison.ratio(found["b"], found["a"]) == 2.5


def test_a_contestant_that_dies_is_named():
    with comparison.contestant("tests.benchmarks.test_comparison", 0.25) as work:
        assert [work(), work()] == [0.25, 0.25]
    with comparison.contestant("tests.benchmarks.test_comparison", "death") as work:
        for _ in range(2):  # while it is asked, and when it is gone
            with pytest.raises(RunError, match="has ended, see above: .* death"):
                work()
