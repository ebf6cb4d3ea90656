"""What TensorBoard shows of a run: R/tensorboard, for `make tensorboard`.

A resumed run writes the points after its backup once more: the same.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from zoo import console
from zoo.training.rundir import RunDir


class EventFile:
    """A file of TensorBoard's events.

    TensorFlow's writer of records takes a twentieth of the time per scalar that
    TensorBoard's own takes, whose checksums are made by Python.

    Args:
        directory: where TensorBoard finds it; made if need be.
    """

    def __init__(self, directory: pathlib.Path):
        from tensorboard.compat.proto import event_pb2

        directory.mkdir(parents=True, exist_ok=True)
        self._event = event_pb2.Event
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._records = tf.io.TFRecordWriter(str(directory / name))
        first = self._event(wall_time=time.time(), file_version="brain.Event:2")
        self._records.write(first.SerializeToString())

    def add(self, summary: Any, step: int) -> None:
        """Writes a summary of any kind, as TensorBoard's plugins make them."""
        event = self._event(wall_time=time.time(), step=step)
        event.summary.CopyFrom(summary)
        self._records.write(event.SerializeToString())

    def add_scalars(
        self,
        tag: str,
        values: Iterable[float],
        steps: Iterable[int],
        times: Iterable[float],
    ) -> None:
        """Writes a scalar of many steps, each with its time in seconds."""
        event = self._event()
        scalar = event.summary.value.add(tag=tag)
        for value, step, when in zip(values, steps, times, strict=True):
            scalar.simple_value, event.step, event.wall_time = value, step, when
            self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Shows TensorBoard what was written."""
        self._records.flush()

    def close(self) -> None:
        """Ends the file."""
        self._records.close()


class TensorBoard(keras.callbacks.Callback):
    """Writes what a training has come to, after each epoch.

    What cannot be written becomes a warning and ends the writing, not the training.

    Args:
        run: the run; writes into ``tensorboard/train`` and ``tensorboard/test``.
        steps_per_epoch: of the training.
        histograms: also write one of each trainable variable.
        profile_steps: the first and the last step that are profiled, from 1, and with
            them all steps of the calls from Python that run them.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        steps_per_epoch: int,
        histograms: bool = False,
        profile_steps: tuple[int, int] | None = None,
    ):
        super().__init__()
        self._path = run.tensorboard
        self._steps_per_epoch = steps_per_epoch
        self._histograms = histograms
        self._profile_steps = profile_steps
        self._profiling = False
        self._mark = contextlib.ExitStack()
        self._broken = False
        self._epoch = 0
        self._began = 0.0
        self._files: dict[str, EventFile] = {}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._began = epoch, time.time()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._profile_steps is None:
            return
        # The place in this epoch is not the place in the training where it goes on in
        # the middle of one: the profile is then that of later steps.
        step = self._epoch * self._steps_per_epoch + batch + 1
        with self._guarded():
            last = step + self.model.steps_per_execution - 1
            if not self._profiling and last >= self._profile_steps[0]:
                tf.profiler.experimental.start(str(self._path / "train"))
                self._profiling = True
            if self._profiling:
                # With its number in the trace, as Keras's own callback has it.
                mark = tf.profiler.experimental.Trace("train", step_num=step, _r=1)
                self._mark.enter_context(mark)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._mark.close()
        step = self._epoch * self._steps_per_epoch + batch + 1
        if self._profiling and step >= self._profile_steps[1]:
            self._stop_profile()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._stop_profile()
        with self._guarded():
            while self._files:
                self._files.popitem()[1].close()

    def _stop_profile(self) -> None:
        if self._profiling:
            self._profiling, self._profile_steps = False, None
            with self._guarded():
                tf.profiler.experimental.stop()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._broken:
            return
        with self._guarded():
            self._write(epoch, dict(logs or {}))

    def _write(self, epoch: int, logs: Mapping[str, Any]) -> None:
        now = time.time()
        for name, value in logs.items():
            split = "test" if name.startswith("val_") else "train"
            self._file(split).add_scalars(
                name.removeprefix("val_"), [float(value)], [epoch + 1], [now]
            )
        first, count = epoch * self._steps_per_epoch, self._steps_per_epoch
        self._file("train").add_scalars(
            "learning_rate",
            self._learning_rates(first, count).tolist(),
            range(first + 1, first + count + 1),
            np.linspace(self._began, now, count).tolist(),
        )
        if self._histograms:
            self._write_histograms(epoch + 1)
        for file in self._files.values():
            file.flush()

    def _write_histograms(self, step: int) -> None:
        from tensorboard.plugins.histogram.summary_v2 import histogram_pb

        for variable in self.model.trainable_variables:
            values = keras.ops.convert_to_numpy(variable)
            self._file("train").add(histogram_pb(variable.path, values), step)

    def _file(self, split: str) -> EventFile:
        if split not in self._files:
            self._files[split] = EventFile(self._path / split)
        return self._files[split]

    def _learning_rates(self, first: int, count: int) -> np.ndarray:
        """Returns the rates of ``count`` steps after ``first`` steps."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        schedule = optimizer._learning_rate
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            return cosine(schedule, np.arange(first, first + count))
        return np.full(count, float(keras.ops.convert_to_numpy(schedule)))

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # A full disk, a profiler that runs already: whatever its writers raise.
            self._broken, self._profile_steps = True, None
            _warn(self._path, error)


def cosine(
    schedule: keras.optimizers.schedules.CosineDecay, steps: np.ndarray
) -> np.ndarray:
    """Returns what Keras's schedule gives for many steps, which it takes one by one."""
    warmup = schedule.warmup_steps or 0
    top = schedule.warmup_target if warmup else schedule.initial_learning_rate
    done = np.clip((steps - warmup) / schedule.decay_steps, 0, 1)
    rates = top * (1 - schedule.alpha) * (1 + np.cos(np.pi * done)) / 2
    rates = rates + top * schedule.alpha
    if not warmup:
        return rates
    start = schedule.initial_learning_rate
    climb = start + (top - start) * steps / warmup
    return np.where(steps < warmup, climb, rates)


def write_hyperparameters(run: RunDir, settings: Mapping[str, Any]) -> None:
    """Writes what runs are compared by, beside the metrics of both splits.

    Args:
        run: the run.
        settings: hyperparameters by name; also a dict of numbers, or None.
    """
    try:
        from tensorboard.plugins.hparams import api

        with contextlib.closing(EventFile(run.tensorboard)) as file:
            simple = {name: _simple(value) for name, value in settings.items()}
            file.add(api.hparams_pb(simple, trial_id=run.path.name), 0)
    except Exception as error:
        _warn(run.tensorboard, error)


def _simple(value: Any) -> bool | int | float | str:
    if isinstance(value, Mapping):  # as --augment takes it
        return ",".join(f"{name}={each}" for name, each in value.items()) or "none"
    return value if isinstance(value, bool | int | float | str) else str(value)


def add_pictures(run_dir: pathlib.Path, pictures: Sequence[pathlib.Path]) -> None:
    """Writes pictures of a run, PNG files, beside the hyperparameters."""
    directory = RunDir(run_dir).tensorboard
    try:
        from tensorboard.compat.proto import summary_pb2

        with contextlib.closing(EventFile(directory)) as file:
            for path in pictures:
                summary = summary_pb2.Summary()
                shown = summary.value.add(tag=path.stem).image
                shown.encoded_image_string = path.read_bytes()
                shown.width, shown.height = Image.open(path).size
                file.add(summary, 0)
    except Exception as error:
        _warn(directory, error)


def _warn(path: pathlib.Path, error: Exception) -> None:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    console.warn(f"{path} gets no more for TensorBoard: {said}.")
