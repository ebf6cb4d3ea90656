"""Tests that mapped images give the same batches as images in memory."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

import export
import zoo
from tests.zoo.data.written import (
    TEST_X,
    TEST_Y,
    TRAIN_X,
    TRAIN_Y,
    idx_arrays,
    save,
    write_idx,
)
from zoo.data import cache, load, pipeline
from zoo.data.dataset import MappedImages
from zoo.errors import RunError
from zoo.recipe import Recipe
from zoo.runs import predict as evaluation
from zoo.training import trainer
from zoo.training.config import Config

# Three copies of the 360 test images of digits fit; the training images do not.
LIMIT = 1_000_000


@pytest.fixture(scope="module")
def large(data_dir):
    return zoo.load_dataset("digits", data_dir=str(data_dir), memory_limit=LIMIT)


def batches(split, start):
    recipe = Recipe(batch_size=64, epochs=2, augment={"rotate": 20.0})
    plan = pipeline.make_plan(recipe, len(split.y))
    result = pipeline.TrainingBatches(split, plan, recipe, seed=3)
    result.start_at(start)
    return list(result.take(5).as_numpy_iterator())


def test_what_does_not_fit_is_mapped_and_is_the_same(large, digits):
    assert isinstance(large.train.x, MappedImages)
    assert isinstance(large.test.x, np.ndarray)
    assert large.spec == digits.spec
    assert large.train.x.shape == digits.train.x.shape
    assert large.train.x.dtype == digits.train.x.dtype
    np.testing.assert_array_equal(large.test.x, digits.test.x)
    np.testing.assert_array_equal(large.train.y, digits.train.y)


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


@pytest.mark.parametrize("start", [0, 20, 31])
def test_the_batch_of_a_step_does_not_depend_on_where_data_are(start, large, digits):
    for (x, y), (a, b) in zip(
        batches(large.train, start), batches(digits.train, start), strict=True
    ):
        np.testing.assert_array_equal(x, a)
        np.testing.assert_array_equal(y, b)


@pytest.fixture
def train(tmp_path, data_dir):
    """Trains ``linear`` on digits in a run directory with a given name."""

    def train(name, epochs, **fields):
        return trainer.train(
            Config(
                model="linear",
                dataset="digits",
                overrides={"epochs": epochs},
                data_dir=str(data_dir),
                run_dir=str(tmp_path / name),
                **fields,
            )
        )

    return train


def test_a_training_from_disk_is_one_from_memory(train):
    one, other = train("memory", 2), train("disk", 2, memory_limit=LIMIT)
    assert isinstance(other.dataset.train.x, MappedImages)
    assert one.result["test"] == pytest.approx(other.result["test"], rel=1e-5)
    weights = zip(one.model.get_weights(), other.model.get_weights(), strict=True)
    for a, b in weights:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_run_on_disk_is_exported_and_evaluated(train):
    run = train("run", 30, memory_limit=1000)
    assert isinstance(run.dataset.test.x, MappedImages)
    export.export_run(run, ("tflite", "tflite_trainable"))
    found = evaluation.evaluate(str(run.run.path), None)
    assert found["accuracy"] == pytest.approx(run.result["test"]["accuracy"])


@pytest.mark.parametrize("layout", ["idx", "gzip", "gray tree", "color tree"])
def test_a_directory_larger_than_the_limit_is_mapped(layout, tmp_path):
    content = idx_arrays((9, 7, 3 if layout == "color tree" else 1), train=20, test=10)
    source, root = tmp_path / "images", tmp_path / "tfds"
    content |= {name: np.sort(content[name]) for name in (TRAIN_Y, TEST_Y)}
    if "tree" in layout:
        for split, x, y in (("train", TRAIN_X, TRAIN_Y), ("test", TEST_X, TEST_Y)):
            for i, label in enumerate(content[y]):
                path = source / split / str(label) / f"{i}.png"
                save(path, content[x][i].squeeze())
    else:
        write_idx(source, content, zipped=layout == "gzip")
    for _ in range(2):  # first writes the cache, then finds it
        data = load.load(str(source), data_dir=str(root), memory_limit=2000)
        assert isinstance(data.train.x, MappedImages)
        read = (data.train.x[:], data.train.y, data.test.x[:], data.test.y)
        for ours, theirs in zip(read, content.values(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        (kept,) = (root / cache.FOLDER).iterdir()
        names = {"train.npy", "test.npy", "labels.npz"}
        assert {path.name for path in kept.iterdir()} == names
    whole = load.load(str(source), data_dir=str(tmp_path / "other"))
    assert whole.spec == data.spec
    np.testing.assert_array_equal(whole.train.x, content[TRAIN_X])


PREPARES = """
import resource, sys
from zoo import startup
startup.start()
from zoo.data import load
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load.load(sys.argv[2], data_dir=sys.argv[3])
before = peak()
data = load.load(sys.argv[1], data_dir=sys.argv[3], memory_limit=50_000_000)
assert data.train.x[len(data.train.y) - 1].shape == (1000, 1000, 1)
print(peak() - before)
"""


@pytest.mark.slow
def test_a_directory_is_prepared_within_the_limit(tmp_path, command):
    for name, count in (("large", 400), ("small", 2)):
        write_idx(tmp_path / name, {TRAIN_Y: np.arange(count) % 2, TEST_Y: [0, 1]})
        for file, n in ((TRAIN_X, count), (TEST_X, 2)):
            path = tmp_path / name / file
            path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, n, 1000, 1000))
            os.truncate(path, 16 + n * 10**6)
    done = command("-c", PREPARES, "large", "small", "tfds")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150e6  # 400 MB of pixels, in batches of 33 MB


@pytest.fixture
def kept(large, tmp_path) -> Path:
    """A cache that tests may damage."""
    return Path(shutil.copytree(large.train.x.path.parent, tmp_path / "kept"))


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "labels.npz"])
@pytest.mark.parametrize("damage", ["missing", "empty", "text", "cut", "other"])
def test_a_damaged_cache_is_named(kept, name, damage):
    path = kept / name
    content = path.read_bytes()
    path.unlink()
    if damage == "other":
        np.savez(kept / "x.npz", train=np.zeros(3), test=[], class_names=["a"])
        np.save(kept / "x.npy", np.zeros((3, 4)))
        (kept / "x").with_suffix(path.suffix).rename(path)
    elif damage != "missing":
        path.write_bytes({"empty": b"", "text": b"text", "cut": content[:-99]}[damage])
    for limit in (LIMIT, None):
        with pytest.raises(
            RunError, match=r"kept are damaged: .* Delete that"
        ) as caught:
            cache.Cache(kept, limit, "digits").load()
        assert "\n" not in str(caught.value)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    def batches():
        yield np.zeros((1, 1, 1, 1), np.uint8), [0]
        raise OSError(28, "No space left on device")

    place = cache.Cache(tmp_path / cache.FOLDER / "x", 10, "x")
    place.directory.mkdir(parents=True)
    (place.directory / ".train.0123abcd.npy").touch()  # from a killed process
    stream = cache.Stream((2, 1, 1, 1), batches())
    with pytest.raises(RunError, match=r"failed: No space left.*Make room"):
        place.make(lambda place: place.write(("a",), stream, stream))
    assert not list(place.directory.iterdir())


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    place = cache.Cache(tmp_path / cache.FOLDER / "x", 10, "x")
    large = cache.Stream((1000, 1000, 1000, 1), map(pytest.fail, "x"))
    with pytest.raises(RunError, match=r"Needed there: 2.0 GB. Free: 1.0 GB"):
        place.make(lambda place: place.write(("a",), large, large))
    assert not place.exists()
