"""What TensorBoard shows of a run: R/tensorboard, for `make tensorboard`.

Scalars are written by TensorBoard's own writer, which takes a seventh of the time that
tf.summary takes. A resumed run writes the points after its backup once more: the same.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import report
from zoo.rundir import RunDir

#: Points of the learning rate in an epoch, which may have thousands of steps.
RATES = 20
_SUFFIX = ".zoo"


class TensorBoard(keras.callbacks.Callback):
    """Writes what a training has come to, after each epoch.

    What cannot be written becomes a warning and ends the writing, not the training.

    Args:
        run: the run; writes into ``tensorboard/train`` and ``tensorboard/test``.
        steps_per_epoch: of the training.
        histograms: also write one of each trainable variable.
        profile_steps: the first and the last step that are profiled, from 1; they
            are rounded to the steps that one call from Python runs.
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
        self._broken = False
        self._epoch = 0
        self._writers: dict[str, Any] = {}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self._profile_steps is None or self._profiling:
            return
        # The place in this epoch is not the place in the training where it goes on in
        # the middle of one: the profile is then that of later steps.
        if self._epoch * self._steps_per_epoch + batch + 1 >= self._profile_steps[0]:
            with self._guarded():
                tf.profiler.experimental.start(str(self._path / "train"))
                self._profiling = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        step = self._epoch * self._steps_per_epoch + batch + 1
        if self._profiling and step >= self._profile_steps[1]:
            self._stop_profile()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._stop_profile()
        with self._guarded():
            while self._writers:
                self._writers.popitem()[1].close()

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
        tested = {k: v for k, v in logs.items() if k.startswith("val_")}
        trained = {k: v for k, v in logs.items() if k not in tested}
        for name, value in trained.items():
            self._writer("train").add_scalar(name, float(value), epoch + 1)
        for step, rate in self._learning_rates(epoch):
            self._writer("train").add_scalar("learning_rate", rate, step)
        for name, value in tested.items():
            name = name.removeprefix("val_")
            self._writer("test").add_scalar(name, float(value), epoch + 1)
        for writer in self._writers.values():
            writer.flush()
        if self._histograms:
            # A folder of their own: TensorBoard follows the newest file of each.
            with _summaries(self._path / "weights"):
                for variable in self.model.trainable_variables:
                    values = keras.ops.convert_to_numpy(variable)
                    tf.summary.histogram(variable.path, values, step=epoch + 1)

    def _writer(self, name: str) -> Any:
        from tensorboard.summary import Writer

        if name not in self._writers:
            self._writers[name] = Writer(str(self._path / name))
        return self._writers[name]

    def _learning_rates(self, epoch: int) -> Iterator[tuple[int, float]]:
        """Yields steps of an epoch, from 1, and the rate that each was taken with."""
        count = min(RATES, self._steps_per_epoch)
        within = np.linspace(0, self._steps_per_epoch - 1, count).round().astype(int)
        steps = epoch * self._steps_per_epoch + within
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        schedule = optimizer._learning_rate
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            rates = cosine(schedule, steps)
        else:
            rates = [float(keras.ops.convert_to_numpy(schedule))] * count
        yield from zip((steps + 1).tolist(), map(float, rates), strict=True)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # A full disk, a profiler that runs already: whatever its writers raise.
            self._broken, self._profile_steps = True, None
            _warn(self._path, error)


def cosine(schedule: keras.optimizers.schedules.CosineDecay, steps: Any) -> np.ndarray:
    """Returns what Keras's schedule gives for many steps, which it takes one by one."""
    warmup = schedule.warmup_steps or 0
    top = schedule.warmup_target if warmup else schedule.initial_learning_rate
    done = np.clip((steps - warmup) / schedule.decay_steps, 0, 1)
    rates = top * (1 - schedule.alpha) * (1 + np.cos(np.pi * done)) / 2
    rates = rates + top * schedule.alpha
    if not warmup:
        return rates
    start = schedule.initial_learning_rate
    climb = start + (top - start) * np.asarray(steps) / warmup
    return np.where(np.asarray(steps) < warmup, climb, rates)


def finish(
    run: RunDir,
    settings: Mapping[str, Any],
    tested: Mapping[str, float],
) -> None:
    """Writes what makes runs compare: hyperparameters and the test result.

    Args:
        run: the run.
        settings: hyperparameters by name; numbers, strings, booleans or None.
        tested: metrics of the test split.
    """
    simple = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in settings.items()
    }
    try:
        from tensorboard.plugins.hparams import api

        with _summaries(run.tensorboard):
            api.hparams(simple, trial_id=run.path.name)
            for name, value in tested.items():
                tf.summary.scalar(f"final/test_{name}", value, step=0)
    except Exception as error:
        _warn(run.tensorboard, error)


def add_pictures(run_dir: pathlib.Path, pictures: Sequence[pathlib.Path]) -> None:
    """Writes pictures of a run, PNG files, beside the hyperparameters."""
    directory = RunDir(run_dir).tensorboard
    try:
        with _summaries(directory):
            for path in pictures:
                image = tf.io.decode_png(path.read_bytes(), channels=3)
                tf.summary.image(path.stem, image[tf.newaxis], step=0)
    except Exception as error:
        _warn(directory, error)


@contextlib.contextmanager
def _summaries(path: pathlib.Path) -> Iterator[None]:
    writer = tf.summary.create_file_writer(str(path), filename_suffix=_SUFFIX)
    with writer.as_default():
        yield
    writer.close()


def _warn(path: pathlib.Path, error: Exception) -> None:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    report.warn(f"{path} gets no more for TensorBoard: {said}.")
