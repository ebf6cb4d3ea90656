"""Data larger than memory: the same batches, from disk."""

from __future__ import annotations

import functools
import gzip
import math
import os
import re

import numpy as np
import pytest
from PIL import Image

import export
import zoo
from zoo import evaluation
from zoo.data import cache, memory, pipeline
from zoo.errors import RunError, UserError
from zoo.recipe import Recipe
from zoo.training import trainer
from zoo.training.config import Config, parse_memory_limit

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
    assert isinstance(large.train.x, cache.DiskImages)
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
        return trainer.train(
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
    assert isinstance(other.dataset.train.x, cache.DiskImages)
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
        cache.DiskImages(path, large.train.x.shape, np.zeros(1437))


def test_a_bit_that_flipped_is_named(large, tmp_path):
    path = tmp_path / "flipped.bin"
    content = bytearray(large.train.x.path.read_bytes())
    content[7 * 784 + 300] ^= 1
    path.write_bytes(content)
    labels = large.train.x.path.with_suffix(".npy")
    path.with_suffix(".npy").write_bytes(labels.read_bytes())
    split = cache.read(path, large.train.x.shape)
    np.testing.assert_array_equal(split.x[:7], large.train.x[:7])
    with pytest.raises(RunError, match=r"flipped.bin .* checksum of image 7 differs"):
        split.x[5:9]


def test_parts_are_those_of_an_array(large, digits):
    for rows in (0, -1 % 1437, slice(3, 40, 5), np.array([9, 2, 2]), np.array(4)):
        np.testing.assert_array_equal(large.train.x[rows], digits.train.x[rows])
    blocks = list(large.train.blocks(600))
    assert [len(block) for block in blocks] == [600, 600, 237]
    np.testing.assert_array_equal(np.concatenate(blocks), digits.train.x)


def test_a_run_on_disk_is_exported_and_evaluated(tmp_path, data_dir):
    run = trainer.train(
        Config(
            model="linear",
            dataset="digits",
            overrides={"epochs": 30},
            data_dir=str(data_dir),
            run_dir=str(tmp_path / "run"),
            memory_limit=1000,
        )
    )
    assert isinstance(run.dataset.test.x, cache.DiskImages)
    formats = ("tflite", "tflite_trainable")
    export.export_run(run.run_dir, formats, dataset=run.dataset)
    found = evaluation.evaluate(str(run.run_dir), None)
    assert found["accuracy"] == pytest.approx(run.result["test"]["accuracy"])


def tree(path, pixels, labels):
    for split, first, last in (("train", 0, 20), ("test", 20, 30)):
        for i in range(first, last):
            image = Image.fromarray(pixels[i].squeeze())
            folder = path / split / f"class{labels[i]}"
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{i:02}.png")


def idx(path, pixels, labels, opened=open):
    for split, first, last in (("train", 0, 20), ("t10k", 20, 30)):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            part = array[first:last]
            shape = part.shape[: int(kind[-1])]
            header = bytes([0, 0, 8, len(shape)])
            header += b"".join(n.to_bytes(4, "big") for n in shape)
            with opened(path / f"{split}-{kind}-ubyte", "wb") as file:
                file.write(header + part.tobytes())


WRITERS = {"tree": tree, "idx": idx, "gzip": functools.partial(idx, opened=gzip.open)}


@pytest.mark.parametrize(
    ("layout", "channels"), [("tree", 1), ("tree", 3), ("idx", 1), ("gzip", 1)]
)
def test_a_directory_larger_than_the_limit_is_decoded_as_a_stream(
    layout, channels, tmp_path
):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 9, 7, channels)).astype("uint8")
    labels = np.repeat([0, 1, 0, 1], [10, 10, 5, 5]).astype("uint8")
    source, root = tmp_path / "images", tmp_path / "tfds"
    source.mkdir()
    WRITERS[layout](source, pixels, labels)
    for _ in range(2):  # writes it, and finds it
        data = zoo.load_dataset(str(source), data_dir=str(root), memory_limit=2000)
        assert isinstance(data.train.x, cache.DiskImages)
        np.testing.assert_array_equal(data.train.x[:], pixels[:20])
        np.testing.assert_array_equal(data.test.x[:], pixels[20:])
        np.testing.assert_array_equal(data.train.y, labels[:20])
        np.testing.assert_array_equal(data.test.y, labels[20:])
        assert not [*root.rglob("*.tfrecord*")]
    whole = zoo.load_dataset(str(source), data_dir=str(tmp_path / "other"))
    assert whole.spec == data.spec
    np.testing.assert_array_equal(whole.train.x, pixels[:20])


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
        (tmp_path / name).mkdir()
        small = np.zeros((30, 1000, 1000), "uint8")
        idx(tmp_path / name, small[:, :1, :1], np.arange(30, dtype="uint8") % 2)
        for split in ("train", "t10k"):
            path = tmp_path / name / f"{split}-images-idx3-ubyte"
            sizes = (count if split == "train" else 2, 1000, 1000)
            header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in sizes)
            path.write_bytes(header)
            os.truncate(path, len(header) + math.prod(sizes))
            path = tmp_path / name / f"{split}-labels-idx1-ubyte"
            path.write_bytes(
                bytes([0, 0, 8, 1])
                + sizes[0].to_bytes(4, "big")
                + bytes(i % 2 for i in range(sizes[0]))
            )
    done = command("-c", PREPARES, "large", "small", "tfds")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150e6  # 400 MB of pixels, in batches of 33 MB


CUT = """
import os, sys
from zoo.data import load
whole, split = load.load, sys.argv.pop()
def cut(*args, **kwargs):
    data = whole(*args, **kwargs)
    x = getattr(data, split).x
    os.truncate(x.path, 100_000)
    return data
load.load = cut
import train
from zoo import console
console.main(train.main)
"""


@pytest.mark.parametrize(
    "split", ["train", pytest.param("test", marks=pytest.mark.slow)]
)
def test_a_read_that_fails_while_training_is_one_line(split, tmp_path, command):
    flags = ("--model=linear", "--dataset=digits", "--memory_limit=0.1M")
    places = (f"--data_dir={tmp_path}/tfds", f"--run_dir={tmp_path}/run")
    done = command("-c", CUT, *flags, *places, "--backup_steps=1", split)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    name = rf"Error: .*28x28x1-{split}.bin cannot be read: it ends too early. Delete"
    assert re.match(name, line)
    assert not [*(tmp_path / "run").glob("result.json")]
    steps = [int(p.stem[5:]) for p in (tmp_path / "run" / "backup").glob("*.json")]
    assert all(step < 100 for step in steps) if split == "test" else not steps


def test_labels_that_are_damaged_are_named(large, tmp_path):
    path = tmp_path / "train.bin"
    path.symlink_to(large.train.x.path)
    for content in (b"", b"not labels", b"\x93NUMPY\x01\x00v\x00{"):
        path.with_suffix(".npy").write_bytes(content)
        with pytest.raises(RunError, match=r"train.npy is damaged. Delete it and"):
            cache.read(path, large.train.x.shape)


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = cache.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(RunError, match=r"Needed there: 2.0 GB. Free: 1.0 GB"):
        cache.write(tmp_path / "x.bin", [], 2 * 10**9)
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
    assert parse_memory_limit("8000000000") == 8 * 10**9
    for text in ("", "0", "-1", "8 apples", "nan", "0.5", "0.0001K", "1.2.3", "9" * 30):
        with pytest.raises(UserError, match="--memory_limit must be a number of bytes"):
            parse_memory_limit(text)
