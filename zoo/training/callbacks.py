"""Callbacks of a training: evaluation, metrics.csv, backups and stopping.

``fit`` calls them in this order, and each relies on those before it: StepCounter,
Evaluation, MetricsLog, TensorBoard, EpochLine, Checkpoints. ``model`` is the one in
training, and ``progress`` holds the steps and seconds so far.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from zoo import files
from zoo.data import pipeline
from zoo.errors import Interrupted, RunError, UserError
from zoo.models.base import TapeModel
from zoo.models.guard import NonFiniteGuard
from zoo.runs.scoring import Evaluator
from zoo.training import checkpoint
from zoo.training.checkpoint import Progress
from zoo.training.job import Job
from zoo.training.signals import SIGNALS, Stop


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
        self._job = job
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
        if (epoch + 1) % self._job.config.eval_every and not is_last:
            return
        self._update()
        scored = self._evaluate(self._shown)
        logs.update({f"val_{name}": value for name, value in scored[0].items()})
        if is_last and self._shown is self._test:
            self._final = scored

    def test(self) -> tuple[dict[str, float], np.ndarray]:
        """Returns the final scores and outputs for the test split, computed once."""
        if self._final is None:
            self._update()
            self._final = self._evaluate(self._test)
        return self._final

    def _update(self) -> None:
        if self._copied:
            for variable, value in zip(self._copied, self._read(), strict=True):
                variable.assign(value)


class MetricsLog(keras.callbacks.Callback):
    """Writes metrics.csv; stops the training on a non-finite loss or gradient."""

    def __init__(self, job: Job, model: TapeModel, progress: Progress):
        super().__init__()
        self._job = job
        self._progress = progress
        self._guarded_from = progress.step
        with model.distribute_strategy.scope():
            model.guard = NonFiniteGuard()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        if not math.isfinite(logs["loss"]):
            seen = self.model.guard.seen()
            what = "gradients" if math.isfinite(seen.loss) else "loss"
            step = self._guarded_from + seen.steps
            raise _not_finite(self._job, what, step, seen.loss, seen.learning_rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        row = {
            "epoch": epoch + 1,
            "step": self._progress.step,
            "learning_rate": self._learning_rate(),
            **{name: float(value) for name, value in logs.items()},
        }
        row |= self.model.epoch_values()
        self.check_finite(row)
        row["seconds"] = round(self._progress.seconds, 3)
        self._progress.rows.append(row)
        if self._job.placement.is_chief:
            files.write_csv(self._job.run.metrics, self._progress.rows)

    def check_finite(self, values: dict[str, float]) -> None:
        """Raises RunError if a loss or metric is not finite after the last step."""
        for name, value in values.items():
            if not math.isfinite(value):
                step, rate = self._progress.step, self._learning_rate()
                raise _not_finite(self._job, name, step, value, rate)

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


class EpochLine(keras.callbacks.Callback):
    """Prints the row of metrics.csv after each epoch, for logs."""

    def __init__(self, progress: Progress, epochs: int):
        super().__init__()
        self._progress, self._epochs = progress, epochs

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row = self._progress.rows[-1]
        hidden = ("epoch", "step", "learning_rate", "seconds")
        shown = (f"{name} {row[name]:.4f}" for name in row if name not in hidden)
        begin = f"epoch {epoch + 1}/{self._epochs}"
        print(begin, *shown, f"{row['seconds']:.1f} s", sep="  ", flush=True)


class Checkpoints(keras.callbacks.Callback):
    """Writes backups, and stops the training after a signal.

    Only the chief writes, and all workers agree on the step.
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
        self._saved: int | None = None
        self._asked: int | None = None
        self._ask_at = self._asked_at = 0
        self._asked_then = 0.0

    def restore(self) -> int:
        """Restores the newest backup, if any; returns the number of steps done."""
        job, progress, like = self._job, self._progress, self._read()
        # The chief reads first, because it sets damaged backups aside.
        if not job.placement.is_chief:
            job.placement.wait()
        arrays, saved = checkpoint.load_newest(job.run.backup, like) or ([], Progress())
        if job.placement.is_chief:
            job.placement.wait()
        job.placement.check_same("the backup that they see", f"step {saved.step}")
        if arrays:
            done = saved.step // job.plan.steps_per_epoch
            if not 0 < saved.step <= job.plan.steps or len(saved.rows) != done:
                raise UserError(
                    f"The backup of step {saved.step} in {job.run.backup} does not "
                    f"belong to this run of {job.plan.steps} steps. Pass --overwrite "
                    "to start over."
                )
            self._assign(self._variables, arrays)
            self._metrics = arrays[-len(self.model.metrics_variables) :]
            vars(progress).update(vars(saved))
            self._saved = saved.step
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
        is_within = self._progress.step % self._job.plan.steps_per_epoch
        if is_within and self._is_due():
            self._save()
            self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        is_due = self._is_due(epoch_ends=True)
        if is_due and self._progress.step < self._job.plan.steps:
            self._save()
        self._stop_if_asked()

    def _is_due(self, *, epoch_ends: bool = False) -> bool:
        """Returns whether to write a backup now; a signal to stop is one reason.

        Several workers ask each other about once a second, by the chief's clock, and at
        the ends of epochs.
        """
        step, placement = self._progress.step, self._job.placement
        due = self._interval.is_due(step, epoch_ends=epoch_ends)
        by_step = bool(self._job.config.backup_steps) and due
        is_alone = placement.workers == 1
        if not (is_alone or by_step or epoch_ends or step >= self._ask_at):
            return False
        now = time.perf_counter()
        steps_per_second = (step - self._asked_at) / max(now - self._asked_then, 1)
        self._asked_at, self._asked_then = step, now
        mine = [int(due), max(1, int(steps_per_second))]
        if not placement.is_chief:
            mine = [0, 0]
        mine += [int(self._stop.signal == number) for number in SIGNALS]
        any_due, wait, *stops = placement.total(mine)
        self._ask_at = step + wait
        for number, asked in zip(SIGNALS, stops, strict=True):
            if asked:
                self._asked = number
        return bool(any_due or any(stops))

    def _save(self) -> None:
        """Writes a backup now; raises RunError if weights are not finite."""
        began, step, run = time.perf_counter(), self._progress.step, self._job.run
        arrays = self._read()
        if not all(np.isfinite(array).all() for array in arrays):
            seen = self.model.guard.seen()
            raise _not_finite(self._job, "weights", step, seen.loss, seen.learning_rate)
        if self._job.placement.is_chief:
            checkpoint.save(run.backup, arrays, self._progress)
        self._saved = step
        self._interval.written(step, time.perf_counter() - began)

    def stop_if_asked(self) -> None:
        """Raises Interrupted after a backup if a signal has asked for a stop."""
        self._is_due(epoch_ends=True)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._asked is None:
            return
        if self._saved != self._progress.step:
            self._save()
        without = ", without --overwrite," if self._job.config.overwrite else ""
        raise Interrupted(
            f"Stopped by {signal.Signals(self._asked).name} after step "
            f"{self._progress.step} of {self._job.plan.steps}; a backup is in "
            f"{self._job.run.backup}. Run the same command again{without} to resume.",
            self._asked,
        )


def _not_finite(
    job: Job, what: str, step: int, loss: float, learning_rate: float
) -> RunError:
    kept = "No backup had been written yet"
    if backups := sorted(job.run.backup.glob("step-*.npz")):
        kept_step = int(backups[-1].stem.removeprefix("step-"))
        kept = f"The backup of step {kept_step} stays in {job.run.backup}"
    return RunError(
        f"Not finite at step {step} of {job.plan.steps}: {what}. Received: loss "
        f"{loss:.6g}, learning rate {learning_rate:.3g}. {kept}. Try a lower "
        f"--learning_rate, such as {learning_rate / 10:.1g}, with --overwrite or "
        "another --run_dir."
    )
