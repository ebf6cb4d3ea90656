"""Callbacks of a training: evaluation, metrics.csv, backups and stopping.

``fit`` calls them in this order, and each relies on those before it: StepCounter,
Evaluation, MetricsLog, TensorBoard, Checkpoints. ``model`` is the one in training, and
``progress`` holds the steps and seconds so far.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from zoo import files
from zoo.data import pipeline
from zoo.errors import RunError
from zoo.models.base import TapeModel
from zoo.runs.scoring import Evaluator
from zoo.training import checkpoint
from zoo.training.checkpoint import Progress
from zoo.training.job import Job
from zoo.training.signals import Stop


class StepCounter(keras.callbacks.Callback):
    """Counts steps and seconds in ``progress``; sets the first step of each epoch."""

    def __init__(
        self, progress: Progress, plan: pipeline.Plan, batches: pipeline.TrainingBatches
    ):
        super().__init__()
        self._progress, self._plan, self._batches = progress, plan, batches

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = self._progress.step
        self._end = (epoch + 1) * self._plan.steps_per_epoch
        self._batches.start_at(self._first)
        self._counted = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Keras counts full calls, but the last call of an epoch may be shorter.
        self._progress.step = min(self._first + batch + 1, self._end)
        now = time.perf_counter()
        self._progress.seconds += now - self._counted
        self._counted = now


class Evaluation(keras.callbacks.Callback):
    """Scores the validation split, or else the test split, into ``val_`` logs.

    It does so every ``eval_every`` epochs and after the last one. ``copy`` is the model
    to score, on one device and in float32. It is ``model`` itself, or a copy whose
    weights are updated before.
    """

    def __init__(self, job: Job, model: TapeModel, copy: TapeModel):
        super().__init__()
        self._job, self._copy = job, copy
        self._evaluate = Evaluator(copy)
        self._test = pipeline.evaluation_batches(job.dataset.test)
        self._shown = self._test
        if job.dataset.validation:
            self._shown = pipeline.evaluation_batches(job.dataset.validation)
        self._final: tuple[dict[str, float], np.ndarray] | None = None
        self._copied: list[keras.Variable] = []
        if copy is not model:
            optimizer: Any = getattr(
                model.optimizer, "inner_optimizer", model.optimizer
            )
            self._read = job.placement.reader([*model.variables, *optimizer.variables])
            self._copied = [*copy.variables, *copy.optimizer.variables]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        is_last = epoch + 1 == self._job.plan.epochs
        if is_last or not (epoch + 1) % self._job.config.eval_every:
            logs.update(self.scores(is_last=is_last))

    def scores(self, *, is_last: bool) -> dict[str, float]:
        """Returns the ``val_`` logs of the weights as they are now."""
        self._update()
        scored = self._evaluate(self._shown)
        if is_last and self._shown is self._test:
            self._final = scored
        return {f"val_{name}": value for name, value in scored[0].items()}

    def test(self) -> tuple[dict[str, float], np.ndarray]:
        """Returns the final scores and outputs for the test split, computed once.

        All scores and weights must be finite. A weight can be NaN while all scores are
        finite, because relu hides it.
        """
        if self._final is None:
            self._update()
            self._final = self._evaluate(self._test)
        weights = ((each.path, each.value.numpy()) for each in self._copy.variables)
        for values in (self._final[0].items(), weights):
            check_finite(values, self._job, self._job.plan.steps)
        return self._final

    def _update(self) -> None:
        if self._copied:
            for variable, value in zip(self._copied, self._read(), strict=True):
                variable.assign(value)


def check_finite(values: Iterable[tuple[str, Any]], job: Job, step: int) -> None:
    """Raises RunError if a number or an array after this step is not finite."""
    for name, value in values:
        if not np.isfinite(value).all():
            raise RunError(
                f"Not finite after step {step} of {job.plan.steps}: {name}. Try a "
                f"lower --learning_rate, such as {job.recipe.learning_rate / 10:.1g}, "
                "with --overwrite or another --run_dir."
            )


class MetricsLog(keras.callbacks.Callback):
    """Writes metrics.csv, and may print each row; stops at a loss that is not finite.

    All workers collect the rows; only the chief writes and prints them.
    """

    def __init__(self, job: Job, progress: Progress):
        super().__init__()
        self._job, self._progress = job, progress

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        check_finite([("loss", logs["loss"])], self._job, self._progress.step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        values = {name: float(value) for name, value in logs.items()}
        self.add(epoch + 1, float(rate), values | self.model.epoch_values())

    def add(self, epoch: int, rate: float, values: Mapping[str, float]) -> None:
        """Adds a row; the fitting of a head counts as epoch 0."""
        row = {"epoch": epoch, "step": self._progress.step, "learning_rate": rate}
        row |= values
        check_finite(row.items(), self._job, self._progress.step)
        row["seconds"] = round(self._progress.seconds, 3)
        self._progress.rows.append(row)
        if not self._job.placement.is_chief:
            return
        files.write_csv(self._job.run.metrics, self._progress.rows)
        if self._job.config.shown == "epoch":
            begin = f"epoch {epoch}/{self._job.plan.epochs}"
            shown = (f"{name} {value:.4f}" for name, value in values.items())
            print(begin, *shown, f"{row['seconds']:.1f} s", sep="  ", flush=True)


class Checkpoints(keras.callbacks.Callback):
    """Writes backups, and stops the training after a signal.

    A backup is the values of all variables and the progress. After each call from
    Python the workers decide together: the chief says whether a backup is due, and each
    worker whether it has got a signal. Only the chief writes.
    """

    def __init__(self, job: Job, model: TapeModel, progress: Progress, stop: Stop):
        super().__init__()
        self.set_model(model)
        self._job, self._progress, self._stop = job, progress, stop
        # All state of a training; metrics come last, because Keras resets them again.
        self._variables = [
            *model.variables,
            *model.optimizer.variables,
            *model.metrics_variables,
        ]
        self._read = job.placement.reader(self._variables)
        self._metrics: list[np.ndarray] = []

    def restore(self) -> int:
        """Restores the newest backup, if any; returns the number of steps done."""
        job, progress, like = self._job, self._progress, self._read()
        # The chief reads first, because it sets damaged backups aside.
        if not job.placement.is_chief:
            job.placement.wait()
        arrays, saved = checkpoint.load_newest(job.run.backup, like)
        if job.placement.is_chief:
            job.placement.wait()
        job.placement.check_same("the backup that they see", f"step {saved.step}")
        if arrays:
            self._assign(self._variables, arrays)
            self._metrics = arrays[-len(self.model.metrics_variables) :]
            vars(progress).update(vars(saved))
        self._interval = checkpoint.BackupInterval(
            job.config.backup_steps,
            done=progress.step,
            size=sum(array.nbytes for array in like),
        )
        return progress.step

    def _assign(
        self, variables: Sequence[keras.Variable], values: Sequence[np.ndarray]
    ) -> None:
        with self.model.distribute_strategy.scope():
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        # Keras has just reset the metrics, which is wrong in the middle of an epoch.
        if self._metrics and self._progress.step % self._job.plan.steps_per_epoch:
            self._assign(self.model.metrics_variables, self._metrics)
        self._metrics = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # At the end of an epoch, on_epoch_end follows and has the row of that epoch.
        if self._progress.step % self._job.plan.steps_per_epoch:
            self.decide()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.decide(epoch_ends=True)

    def decide(self, *, epoch_ends: bool = False) -> None:
        """Writes a backup if one is due; after a signal, raises Interrupted then.

        Weights that are not finite raise RunError instead.
        """
        began, job, step = time.perf_counter(), self._job, self._progress.step
        due = self._interval.is_due(step, epoch_ends=epoch_ends)
        votes = [due and job.placement.is_chief, self._stop.signal is not None]
        is_due, stops = job.placement.total([int(vote) for vote in votes])
        if not stops and (not is_due or step == job.plan.steps):
            return
        arrays = self._read()
        paths = [variable.path for variable in self._variables]
        check_finite(zip(paths, arrays, strict=True), job, step)
        if job.placement.is_chief:
            checkpoint.save(job.run.backup, arrays, self._progress)
        self._interval.written(step, time.perf_counter() - began)
        if stops:
            number = self._stop.signal or signal.SIGTERM  # another worker's
            raise job.interrupted(number, f"step {step} of {job.plan.steps}")
