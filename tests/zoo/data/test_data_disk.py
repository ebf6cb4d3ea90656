"""Data larger than memory: the same batches, from disk."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from zoo import training
from zoo.config import Config, parse_memory_limit
from zoo.data import disk, memory, pipeline
from zoo.errors import RunError, UserError
from zoo.recipe import Recipe

LIMIT = 1_000_000  # the 360 test images of digits fit, thrice; the others do not


@pytest.fixture(scope="module")
def large(data_dir):
    return zoo.load_dataset("digits", data_dir=str(data_dir), memory_limit=LIMIT)


def batches(split, start):
    recipe = Recipe(batch_size=64, epochs=2, augment={"rotate": 20.0})
    plan = pipeline.make_plan(recipe, len(split.y))
    result = pipeline.TrainingBatches(split, plan, recipe, seed=3)
    result.start_at(start)
    return list(result.take(5).as_numpy_iterator())


def test_what_does_not_fit_stays_on_disk_and_is_the_same(large, digits):
    assert isinstance(large.train.x, disk.DiskImages)
    assert isinstance(large.test.x, np.ndarray)
    assert large.spec == digits.spec
    assert large.train.x.shape == digits.train.x.shape
    np.testing.assert_array_equal(large.train.x[:], digits.train.x)
    np.testing.assert_array_equal(large.train.x[5], digits.train.x[5])
    np.testing.assert_array_equal(large.train.y, digits.train.y)


@pytest.mark.parametrize("start", [0, 20, 31])
def test_the_batch_of_a_step_does_not_depend_on_where_data_are(start, large, digits):
    for (x, y), (a, b) in zip(
        batches(large.train, start), batches(digits.train, start), strict=True
    ):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)


def test_a_training_from_disk_is_one_from_memory(tmp_path, data_dir):
    def train(name, **fields):
        overrides = {"epochs": 2, "batch_size": 64}
        return training.run(
            Config(
                model="linear",
                dataset="digits",
                overrides=overrides,
                data_dir=str(data_dir),
                run_dir=str(tmp_path / name),
                **fields,
            )
        )

    one, other = train("memory"), train("disk", memory_limit=LIMIT)
    assert isinstance(other.dataset.train.x, disk.DiskImages)
    assert one.result["test"] == pytest.approx(other.result["test"], rel=1e-5)
    for a, b in zip(
        zoo.load_run(one.run_dir).get_weights(),
        zoo.load_run(other.run_dir).get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_evaluation_reads_from_disk_too(large):
    data = pipeline.evaluation_batches(large.train, batch_size=500)
    parts = list(data.as_numpy_iterator())
    assert [len(y) for _, y in parts] == [500, 500, 437]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), large.train.x)


def test_a_file_that_was_cut_is_named(large, tmp_path):
    path = tmp_path / "cut.bin"
    path.write_bytes(large.train.x.path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"cut.bin is damaged: it has .* Delete it"):
        disk.DiskImages(path, large.train.x.shape)


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = disk.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(RunError, match=r"Needed there: 2.0 GB. Free: 1.0 GB"):
        disk.write(tmp_path / "x.bin", tmp_path / "x.npy", [], 2 * 10**9)
    assert list(tmp_path.iterdir()) == []


def test_the_smaller_splits_stay_in_memory():
    shapes = [(100, 10, 10, 1), (10, 10, 10, 1)]
    assert memory.beyond(shapes, None) == [False, False]
    assert memory.beyond(shapes, 33_000) == [False, False]
    assert memory.beyond(shapes, 32_999) == [True, False]
    assert memory.beyond(shapes, 2_999) == [True, True]


def test_memory_limits_are_sizes():
    assert parse_memory_limit("auto") is None
    assert parse_memory_limit("8G") == 8 * 10**9
    assert parse_memory_limit("1.5gb") == 15 * 10**8
    assert parse_memory_limit("500M") == 5 * 10**8
    for text in ("", "0", "-1", "8 apples", "nan"):
        with pytest.raises(UserError, match="--memory_limit must be a size"):
            parse_memory_limit(text)
