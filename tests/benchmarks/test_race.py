"""Tests the comparison of trainings that must reach an accuracy."""

from __future__ import annotations

import pytest

from benchmarks import race
from zoo.errors import RunError

# Seconds and accuracy of each training.
FAST, SLOW, POOR = (1.0, 0.99), (4.0, 0.995), (0.5, 0.9)


def compare(**trainings):
    runners = {name: lambda seed, f=found: f for name, found in trainings.items()}
    return race.compare(runners, rounds=2, goal=0.99)


def test_a_training_is_compared_with_the_best_that_reaches_the_goal():
    found = compare(ours=FAST, other=SLOW, poor=POOR)
    assert found["share_of_the_best_example"] == 0.25
    assert "| poor | 0.5 | 90.00%, never reached |" in race.table(found)


@pytest.mark.parametrize("trainings", [(POOR, SLOW), (FAST, POOR)])
def test_there_is_no_race_without_two_that_reach_the_goal(trainings):
    ours, other = trainings
    with pytest.raises(RunError, match="Not enough trainings reached 99.0%"):
        compare(ours=ours, other=other)
