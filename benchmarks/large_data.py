"""Measures training on data larger than memory: speed, waiting and memory.

    python -m benchmarks.large_data --directory=/tmp/large

Generates a dataset of 27,000 RGB training images of 256x256 pixels (5.3 GB decoded)
once and keeps it in the directory. Compares batches from disk with batches of 4,000
images in memory. Then trains in turns on batches from disk and on one repeated batch;
the difference is the time that training waits for data. "Evicted" means that the system
has cached nothing of the file. Linux only.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pathlib
import statistics
import threading
import time
from collections.abc import Iterator

import numpy as np
import psutil

from benchmarks import comparison
from zoo import console, startup
from zoo.errors import UserError

SIDE, TRAIN, TEST, BATCH = 256, 27_000, 500, 128
FLAGS = console.Flags()
FLAGS.string("directory", None, "Directory for the dataset, which takes 6 GB.")
FLAGS.integer("rounds", 5, "Rounds to measure.", lower_bound=1)
FLAGS.integer("steps", 40, "Training steps per round.", lower_bound=1)


def make(directory: pathlib.Path) -> None:
    """Prepares the dataset, if necessary."""
    startup.start()
    import tensorflow as tf
    import tensorflow_datasets as tfds

    class LargeImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """Images of smooth noise; the class is the brightest corner."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg")
            label = tfds.features.ClassLabel(num_classes=4)
            features = tfds.features.FeaturesDict({"image": image, "label": label})
            return tfds.core.DatasetInfo(
                builder=self,
                features=features,
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(TRAIN, 0),
                "test": self._generate_examples(TEST, 1),
            }

        def _generate_examples(self, count, seed) -> Iterator:
            rng = np.random.default_rng(seed)
            for i in range(count):
                small = rng.integers(0, 256, (1, 2, 2, 3)).astype("float32")
                image = tf.image.resize(small, (SIDE, SIDE)).numpy()[0]
                label = int(small.sum(axis=(0, 3)).argmax())
                yield i, {"image": image.astype("uint8"), "label": label}

    LargeImages(data_dir=directory).download_and_prepare()


class Peak:
    """Records the peak of this process's own memory, including TensorFlow's."""

    def __init__(self):
        self.rss = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._end.wait(0.05):
            self.rss = max(self.rss, _own_memory())


def _own_memory() -> int:
    """Returns the resident bytes without pages of files, such as mapped images."""
    info = psutil.Process().memory_info()
    return info.rss - info.shared


def _plan(split, steps: int):
    from zoo.data import pipeline
    from zoo.recipe import Recipe

    recipe = Recipe(batch_size=BATCH, epochs=1, steps_per_epoch=steps)
    return recipe, pipeline.make_plan(recipe, len(split.y))


def _batches(split, steps: int):
    from zoo.data import pipeline

    recipe, plan = _plan(split, steps)
    return pipeline.TrainingBatches(split, plan, recipe, seed=0).dataset


def _examples_per_second(data, steps: int) -> float:
    began = time.perf_counter()
    for _ in data:
        pass
    return steps * BATCH / (time.perf_counter() - began)


def _step_seconds(model, data, steps: int) -> float:
    began = time.perf_counter()
    model.fit(data, verbose=0, shuffle=False)
    return (time.perf_counter() - began) / steps


def _evict(path: pathlib.Path) -> None:
    """Drops the system's cached pages of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(directory: pathlib.Path, rounds: int, steps: int) -> None:
    """Measures, and prints medians over the rounds."""
    import zoo

    model = zoo.create_model(
        "linear", input_shape=(SIDE, SIDE, 3), num_classes=4, recipe=_plain()
    )
    before = _own_memory()
    with Peak() as reading_peak:
        data = zoo.load_dataset("large_images", data_dir=str(directory))
        for _ in _batches(data.train, steps):
            pass
    with Peak() as peak:
        path = data.train.x.path
        one = _batches(data.train, 1).cache().repeat(steps)
        seconds = {"disk, evicted": [], "disk, cached": [], "one batch": []}
        for round_ in range(rounds + 1):  # the first round only traces
            for name, batches in (
                ("disk, evicted", _batches(data.train, steps)),
                ("disk, cached", _batches(data.train, steps)),
                ("one batch", one),
            ):
                if name == "disk, evicted":
                    _evict(path)
                taken = _step_seconds(model, batches, steps)
                seconds[name] += [taken] if round_ else []
    print(f"decoded: {math.prod(data.train.x.shape) / 1e9:.1f} GB")
    print(
        f"memory of the process: {before / 1e9:.2f} GB before the data, at most "
        f"{reading_peak.rss / 1e9:.2f} GB while decoding and reading, at most "
        f"{peak.rss / 1e9:.2f} GB while training"
    )
    alone = statistics.median(seconds["one batch"])
    for name, values in seconds.items():
        step = statistics.median(values)
        print(
            f"step, {name}: {1000 * step:.1f} ms, {BATCH / step:,.0f} examples/s, of "
            f"which training waits for data: {max(0.0, 1 - alone / step):.1%}"
        )
    _measure_batches(data.train, rounds, steps)


def _measure_batches(train, rounds: int, steps: int) -> None:
    """Prints the examples/s of batches from disk and from memory, without training."""
    from zoo.data.dataset import Split

    few = 4000
    memory = Split(train.x[:few], train.y[:few])
    for name, split in (
        ("disk, evicted", train),
        ("disk, cached", train),
        (f"memory ({few:,} images)", memory),
    ):
        speeds = []
        for _ in range(rounds):
            if name == "disk, evicted":
                _evict(train.x.path)
            speeds.append(_examples_per_second(_batches(split, steps), steps))
        print(f"batches from {name}: {statistics.median(speeds):,.0f} examples/s")


def _plain():
    import dataclasses

    import zoo

    return dataclasses.replace(zoo.get_recipe("linear"), steps_per_execution=1)


def main(argv: list[str]) -> None:
    """Prepares the dataset in a new process, and measures."""
    comparison.parse_flags(argv, __doc__, FLAGS)
    if not FLAGS.directory:
        raise UserError(
            "--directory must be a directory for the dataset (6 GB). Received: nothing."
        )
    directory = pathlib.Path(FLAGS.directory)
    # In a new process, because TFDS keeps up to a gigabyte of it in memory.
    making = multiprocessing.get_context("spawn").Process(target=make, args=[directory])
    making.start()
    making.join()
    startup.start()
    measure(directory, FLAGS.rounds, FLAGS.steps)


if __name__ == "__main__":
    console.main(main)
