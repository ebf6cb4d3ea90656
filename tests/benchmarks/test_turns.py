"""Tests the order of contestants, what counts, and a contestant that dies."""

from __future__ import annotations

import os

import pytest

from benchmarks import startup, turns
from zoo.errors import RunError


def prepare(answer):
    """A contestant that answers with a number, or dies."""
    return lambda: float(answer) if answer != "death" else os._exit(3)


def test_they_work_in_turns_and_the_first_round_does_not_count():
    worked = []

    def work(name, seconds):
        worked.append(name)
        return seconds.pop(0)

    works = {
        "a": lambda a=[9.0, 1.0, 2.0]: work("a", a),
        "b": lambda b=[9.0, 3.0, 4.0]: work("b", b),
    }
    found = turns.interleaved(works, rounds=2)
    assert found == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert "".join(worked) == "baabba"
    assert turns.ratio(found["b"], found["a"]) == 2.5


def test_a_contestant_answers_from_its_own_process_each_time():
    with turns.contestant("tests.benchmarks.test_turns", 0.25) as work:
        assert [work(), work()] == [0.25, 0.25]


def test_a_contestant_that_dies_is_named():
    with turns.contestant("tests.benchmarks.test_turns", "death") as work:
        for _ in range(2):  # while it is asked, and when it is gone
            with pytest.raises(RunError, match="has ended, see above: .* death"):
                work()


def test_another_end_of_a_process_than_the_one_expected_is_a_failure(tmp_path):
    seconds, megabytes = startup.run(
        "-c", "import os; os._exit(5)", cwd=tmp_path, code=5
    )
    assert seconds > 0
    assert megabytes > 1
    for code in (0, 5):
        with pytest.raises(RunError, match="Failed, see above: python -c pass|_exit"):
            startup.run(
                "-c", f"import os; os._exit({5 - code})", cwd=tmp_path, code=code
            )
