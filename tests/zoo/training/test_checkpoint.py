"""Tests that the newest intact backup is found among damaged ones."""

from __future__ import annotations

import io
import itertools
import re

import numpy as np
import pytest

from zoo.errors import UserError
from zoo.training import checkpoint

LIKE = [np.zeros(3), np.zeros((), np.int64)]


def saved(step):
    arrays = [np.full(3, step / 3), np.array(step, np.int64)]
    rows = [{"epoch": 1, "step": step, "loss": 0.1}]
    return arrays, checkpoint.Progress(step, rows, 1.5)


def test_the_newest_two_backups_are_kept(tmp_path):
    assert checkpoint.load_newest(tmp_path, LIKE) == ([], checkpoint.Progress())
    (tmp_path / ".step-000000001.12345678.npz").write_text("left by a killed process")
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, *saved(step))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-000000002.npz", "step-000000010.npz"]
    arrays, progress = checkpoint.load_newest(tmp_path, LIKE)
    expected, expected_progress = saved(10)
    assert progress == expected_progress
    for value, like in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(value, like, strict=True)


def flip_a_bit(content):
    place = content.index(b"\x93NUMPY") + 130  # after the header
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def packed(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return lambda content: file.getvalue()


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-2],
        flip_a_bit,
        lambda content: content.replace(b'"loss": 0.1', b'"loss": 0.2'),
        # A wrong progress, and an object instead of an array.
        packed(**{"0": LIKE[0], "1": LIKE[1], "progress": np.full(99_999, 91, "u1")}),
        packed(**{"0": np.array([print]), "1": LIKE[1], "progress": LIKE[0]}),
    ],
)
def test_a_damaged_backup_gives_way_to_the_one_before(tmp_path, harm, capsys):
    for step in (1, 2):
        checkpoint.save(tmp_path, *saved(step))
    first, second = sorted(tmp_path.iterdir())
    second.write_bytes(harm(second.read_bytes()))
    assert checkpoint.load_newest(tmp_path, LIKE)[1].step == 1
    err = capsys.readouterr().err
    assert re.fullmatch(
        r"WARNING: .*step-000000002.npz is damaged .*previous one.*\n", err
    )
    first.write_bytes(harm(first.read_bytes()))
    # The second attempt fails too, although no backup is left: it must not start over.
    for _ in range(2):
        with pytest.raises(UserError, match="All backups in .* are damag.*--overwrite"):
            checkpoint.load_newest(tmp_path, LIKE)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ([np.zeros(7), LIKE[1]], "variable 0 is float64(3,) instead of float64(7,)"),
        (LIKE[:1], "2 variables instead of 1"),
    ],
)
def test_a_backup_of_another_model_is_damaged(tmp_path, capsys, like, message):
    checkpoint.save(tmp_path, *saved(1))
    with pytest.raises(UserError, match="All backups"):
        checkpoint.load_newest(tmp_path, like)
    assert message in capsys.readouterr().err


def test_an_interval_in_steps_is_kept_whatever_the_size_of_an_execution():
    interval = checkpoint.BackupInterval(10, done=0, size=0)
    saved = []
    for step in range(4, 60, 4):
        if interval.is_due(step):
            saved.append(step)
            interval.written(step, 0.0)
    assert saved == [12, 20, 32, 40, 52]


def test_an_interval_in_time_costs_less_than_a_sixtieth(monkeypatch):
    now = 0.0
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    for cost in (0.001, 0.3, 5.0):
        now, spent, times = 0.0, 0.0, []
        interval = checkpoint.BackupInterval(None, done=0, size=int(cost * 100e6))
        for step in range(1, 10_000):
            now += 0.1
            if interval.is_due(step, epoch_ends=step % 20 == 0):
                times.append(now)
                spent, now = spent + cost, now + cost
                interval.written(step, cost)
        assert 0 < spent <= now / 60
        longest = max(b - a for a, b in itertools.pairwise(times))
        assert longest <= max(30, 61 * cost) + 0.2
