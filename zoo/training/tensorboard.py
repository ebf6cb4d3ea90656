"""The logs of a run for TensorBoard, in the folder ``tensorboard`` of the run.

Keras's callback writes them. Our subclass adds the learning rate of each step,
continues the count of steps in a resumed run, and warns if it cannot write.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from zoo import console
from zoo.records.rundir import RunDir
from zoo.training.checkpoint import Progress
from zoo.training.job import Job


@contextlib.contextmanager
def _warning(path: str | pathlib.Path) -> Iterator[list[Exception]]:
    """Turns an exception of the writers into a warning; yields the list of them."""
    failed: list[Exception] = []
    try:
        yield failed
    except Exception as error:
        # Examples are a full disk and a profiler that is already running.
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        console.warn(f"Nothing more is written to {path} for TensorBoard: {said}.")
        failed.append(error)


def _unless_broken(hook: Callable[..., None]) -> Callable[..., None]:
    """Makes a hook warn instead of raising, and do nothing from then on."""

    @functools.wraps(hook)
    def guarded(self: TensorBoard, *arguments: Any, **options: Any) -> None:
        if not self.is_broken:
            with _warning(self.log_dir) as failed:
                hook(self, *arguments, **options)
            self.is_broken = bool(failed)

    return guarded


class TensorBoard(keras.callbacks.TensorBoard):
    """Writes into ``tensorboard/train`` and ``tensorboard/validation``.

    If something cannot be written, the callback warns and stops writing; the training
    continues. It profiles whole calls from Python. A call runs ``steps_per_execution``
    steps, so it may profile more steps than requested.
    """

    on_train_batch_begin = _unless_broken(
        keras.callbacks.TensorBoard.on_train_batch_begin
    )
    on_train_end = _unless_broken(keras.callbacks.TensorBoard.on_train_end)

    def __init__(self, job: Job, progress: Progress, steps_per_execution: int):
        self._progress = progress
        self._plan = job.plan
        self._steps_per_execution = steps_per_execution
        self.is_broken = False
        calls = tuple(self._call_of(step) for step in job.config.profile_steps or ())
        super().__init__(
            log_dir=job.run.tensorboard,
            histogram_freq=int(job.config.histograms),
            write_graph=False,
            profile_batch=calls or 0,
        )

    def _call_of(self, step: int) -> int:
        """Returns the number of the call that runs a step; both count from 1."""
        epoch, index = divmod(step - 1, self._plan.steps_per_epoch)
        calls_per_epoch = -(-self._plan.steps_per_epoch // self._steps_per_execution)
        return epoch * calls_per_epoch + index // self._steps_per_execution + 1

    @_unless_broken
    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        # Keras starts at 0 even in a resumed training.
        self._global_train_batch = self._call_of(self._progress.step + 1) - 1
        # Compiled, because writing a scalar from Python takes more than 100 us.
        # Compiled again for each fit, because each fit has its own writer.
        self._write_learning_rates = tf.function(self._learning_rates)

    @_unless_broken
    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Pass no logs: Keras would call tf.summary for each of them, but there is no
        # writer within an epoch.
        super().on_train_batch_end(batch)

    @_unless_broken
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        first, count = epoch * self._plan.steps_per_epoch, self._plan.steps_per_epoch
        with self._train_writer.as_default():
            self._write_learning_rates(tf.range(first, first + count))
        for writer in self._writers.values():
            writer.flush()

    def _learning_rates(self, steps_done: tf.Tensor) -> None:
        """Writes the learning rate of the next step, for each number of steps done."""
        from tensorboard.plugins.scalar import metadata

        # tf.summary.scalar would put the name of the loop in front of the tag.
        kind = metadata.create_summary_metadata("learning_rate", None)
        optimizer = self.model.optimizer
        rate = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
        for done in steps_done:
            value = rate(done) if callable(rate) else tf.convert_to_tensor(rate)
            tf.summary.write(
                "learning_rate", value, step=tf.cast(done + 1, tf.int64), metadata=kind
            )


def write_hyperparameters(run: RunDir, settings: Mapping[str, Any]) -> None:
    """Writes the hyperparameters by which TensorBoard compares runs."""
    with _warning(run.tensorboard), _writer(run.tensorboard):
        from tensorboard.plugins.hparams import api

        simple = {name: _simple(value) for name, value in settings.items()}
        api.hparams(simple, trial_id=run.path.name)


def add_pictures(run_dir: pathlib.Path, pictures: Sequence[pathlib.Path]) -> None:
    """Writes the pictures of a run from their PNG files."""
    directory = RunDir(run_dir).tensorboard
    with _warning(directory), _writer(directory):
        for path in pictures:
            image = tf.io.decode_png(path.read_bytes())
            tf.summary.image(path.stem, image[tf.newaxis], step=0)


def _simple(value: Any) -> bool | int | float | str:
    if isinstance(value, Mapping):  # as --augment takes it
        return ",".join(f"{name}={each}" for name, each in value.items()) or "none"
    return value if isinstance(value, bool | int | float | str) else str(value)


@contextlib.contextmanager
def _writer(directory: pathlib.Path) -> Iterator[None]:
    writer = tf.summary.create_file_writer(str(directory))
    with contextlib.closing(writer), writer.as_default():
        yield
