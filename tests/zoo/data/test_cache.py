"""Tests that mapped images give the same batches as images in memory."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import export
import zoo
from tests.zoo.data.written import class_tree, idx_arrays, write_idx
from zoo.data import cache, load, pipeline
from zoo.data.dataset import MappedImages
from zoo.errors import RunError
from zoo.recipe import Recipe
from zoo.training import trainer
from zoo.training.config import Config


@pytest.fixture
def mapped_from(monkeypatch):
    """Sets the number of bytes from which a split is mapped."""
    return lambda count: monkeypatch.setattr(cache, "MAPPED_FROM", count)


@pytest.fixture
def large(digits, mapped_from, tmp_path):
    """The digits; the training images are mapped, the test images in memory."""
    mapped_from(digits.test.x.nbytes + 1000)
    splits = {
        name: cache.Stream(
            split.x.shape, [(split.x[:99], split.y[:99]), (split.x[99:], split.y[99:])]
        )
        for name, split in (("train", digits.train), ("test", digits.test))
    }
    place = tmp_path / cache.FOLDER / "digits"
    return cache.read(place, digits.spec.class_names, splits)


def batches(split, start):
    recipe = Recipe(batch_size=64, epochs=2, augment={"rotate": 20.0})
    plan = pipeline.make_plan(recipe, len(split.y))
    result = pipeline.TrainingBatches(split, plan, recipe, seed=3)
    result.start_at(start)
    return list(result.take(5).as_numpy_iterator())


def test_what_is_large_is_mapped_and_is_the_same(large, digits):
    assert isinstance(large.train.x, MappedImages)
    assert isinstance(large.test.x, np.ndarray)
    np.testing.assert_array_equal(large.train.x[:], digits.train.x, strict=True)
    np.testing.assert_array_equal(large.test.x, digits.test.x)
    np.testing.assert_array_equal(large.train.y, digits.train.y, strict=True)


def test_parts_are_those_of_an_array(large, digits):
    for rows in (0, -1 % 1437, slice(3, 40, 5), np.array([9, 2, 2]), np.array(4)):
        np.testing.assert_array_equal(large.train.x[rows], digits.train.x[rows])
        assert not isinstance(large.train.x[rows], np.memmap)
    blocks = list(large.train.blocks(600))
    assert [len(block) for block in blocks] == [600, 600, 237]
    np.testing.assert_array_equal(np.concatenate(blocks), digits.train.x)


def test_rows_of_mapped_images_stay_on_disk(large, digits):
    rows = np.array([9, 2, 700])
    some = large.train.take(rows)
    assert isinstance(some.x, MappedImages) and some.x.shape == (3, 28, 28, 1)
    again = some.take(np.array([2, 0]))
    np.testing.assert_array_equal(again.x[1], digits.train.x[9])
    np.testing.assert_array_equal(some.y, digits.train.y[rows])
    # Evaluation reads mapped images too.
    parts = [*pipeline.evaluation_batches(some, batch_size=2).as_numpy_iterator()]
    assert [len(y) for _, y in parts] == [2, 1]
    x = np.concatenate([x for x, _ in parts])
    np.testing.assert_array_equal(x, digits.train.x[rows])


def test_the_batch_of_a_step_does_not_depend_on_where_data_are(large, digits):
    splits = (large.train, digits.train)
    for (x, y), (a, b) in zip(*(batches(split, 20) for split in splits), strict=True):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)


def test_a_run_on_disk_is_exported_and_evaluated(tmp_path, mapped_from):
    config = Config(
        model="linear",
        dataset=str(class_tree(tmp_path / "tree", count=20)),
        overrides={"epochs": 3},
        data_dir=str(tmp_path / "data"),
        run_dir=str(tmp_path / "run"),
        tensorboard=False,
    )
    mapped_from(10)
    run = trainer.train(config)
    assert isinstance(run.dataset.test.x, MappedImages)
    export.export_run(run, ("tflite", "tflite_trainable"), plots=False)
    found = zoo.open(str(run.run.path)).evaluate()
    assert found["accuracy"] == pytest.approx(run.result["test"]["accuracy"])


def test_large_idx_files_are_resized_through_the_cache(
    tmp_path, mapped_from, monkeypatch
):
    directory = str(write_idx(tmp_path / "idx", idx_arrays()))
    data_dir = str(tmp_path / "data")
    options = {"data_dir": data_dir, "image_size": (8, 9)}
    expected = load.load(directory, **options)
    padded = load.load(directory, **options, resize="pad")
    mapped_from(10)
    monkeypatch.setattr(cache, "_BATCH", 5)
    for _ in range(2):  # first writes the cache, then finds it
        found = load.load(directory, **options)
        assert isinstance(found.train.x, MappedImages) and found.spec == expected.spec
        np.testing.assert_array_equal(found.train.x[:], expected.train.x)
        np.testing.assert_array_equal(found.train.y, expected.train.y, strict=True)
        found = load.load(directory, **options, resize="pad")
        np.testing.assert_array_equal(found.train.x[:], padded.train.x)


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "labels.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_cache_is_named(large, tmp_path, name, damage):
    path = tmp_path / cache.FOLDER / "digits" / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-99] if damage == "cut" else b"")
    with pytest.raises(RunError, match=r"digits are damaged: .* Delete that") as caught:
        cache.load(path.parent)
    assert "\n" not in str(caught.value)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    def batches():
        yield np.zeros((1, 1, 1, 1), np.uint8), [0]
        raise OSError(28, "No space left on device")

    place = tmp_path / cache.FOLDER / "x"
    place.mkdir(parents=True)
    (place / ".train.0123abcd.npy").touch()  # from a killed process
    stream = cache.Stream((2, 1, 1, 1), batches())
    with pytest.raises(RunError, match=r"failed: No space left.*Make room"):
        cache.write(place, ("a",), {"train": stream, "test": stream})
    assert not list(place.iterdir())


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    large = cache.Stream((1000, 1000, 1000, 1), map(pytest.fail, "x"))
    with pytest.raises(RunError, match=r"failed: 2.0 GB are needed, 1.0 GB are free"):
        cache.write(tmp_path, ("a",), {"train": large, "test": large})
    assert not list(tmp_path.iterdir())
