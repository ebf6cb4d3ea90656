"""What happens beside the training step: time, metrics.csv, backups, stopping."""

from __future__ import annotations

import math
import signal
import time
from typing import Any

import keras
import numpy as np

from zoo import backup, files
from zoo.data.pipeline import Plan, TrainingBatches
from zoo.errors import Interrupted, RunError, UserError
from zoo.interrupts import Stop
from zoo.models.tape import TapeModel
from zoo.models.watch import Watch
from zoo.rundir import RunDir


class Bookkeeper(keras.callbacks.Callback):
    """Keeps a training's place in the data, its rows, its time and its backup.

    Args:
        run: where metrics.csv and the backup are written.
        plan: the length of the training.
        batches: whose place in the data follows the epoch.
        stop: whether a stop was asked for.
        backup_steps: steps between backups; None for what ``backup.Pace`` does.
        again: how to go on, for people.

    Attributes:
        step: steps that are done.
        rows: the rows of metrics.csv so far.
        seconds: time spent training so far.
    """

    def __init__(
        self,
        run: RunDir,
        plan: Plan,
        batches: TrainingBatches,
        *,
        stop: Stop,
        backup_steps: int | None,
        again: str,
    ):
        super().__init__()
        self._run = run
        self._plan = plan
        self._batches = batches
        self._stop = stop
        self._backup_steps = backup_steps
        self._again = again
        self._started = 0.0
        self._metrics: list[np.ndarray] = []
        self._saved: int | None = None
        self.step = 0
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    def restore(self, model: TapeModel) -> int:
        """Brings back the newest backup, if any; returns the steps that are done.

        The watch over losses and gradients begins here.

        Raises:
            UserError: there are backups, and all of them are damaged.
        """
        self.set_model(model)
        like = [variable.value.numpy() for variable in _variables(model)]
        if state := backup.load_newest(self._run.backup, like):
            self._check(state.progress)
            for variable, value in zip(_variables(model), state.arrays, strict=True):
                variable.assign(value)
            self._metrics = state.arrays[-len(model.metrics_variables) :]
            self.step = self._saved = state.progress.step
            self.rows, self.seconds = state.progress.rows, state.progress.seconds
        size = sum(array.nbytes for array in like)
        self._pace = backup.Pace(self._backup_steps, done=self.step, size=size)
        self._first_watched = self.step
        model.watch = Watch()
        return self.step

    def _check(self, progress: backup.Progress) -> None:
        """Raises UserError unless a training of this plan can have come so far."""
        done = progress.step // self._plan.steps_per_epoch
        if not 0 < progress.step <= self._plan.steps or len(progress.rows) != done:
            raise UserError(
                f"The backup of step {progress.step} in {self._run.backup} is not of "
                f"this run of {self._plan.steps} steps. Pass --overwrite to start over."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = self.step
        self._end = (epoch + 1) * self._plan.steps_per_epoch
        self._batches.start_at(self.step)
        # In the middle of an epoch: Keras has just reset them.
        if self._metrics and self.step % self._plan.steps_per_epoch:
            for variable, value in zip(
                self.model.metrics_variables, self._metrics, strict=True
            ):
                variable.assign(value)
        self._metrics = []
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # An execution counts all its steps, but an epoch's last one may be shorter.
        self.step = min(self._first + batch + 1, self._end)
        if not math.isfinite(logs["loss"]):
            self._fail_at_watched_step()
        if self.step == self._end:
            return  # on_epoch_end is next, with the row that belongs to this step
        if self._stop.signal or self._pace.is_due(self.step):
            self.save()
            self.stop_if_asked()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._stop_clock()  # evaluation is not training

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_clock()
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"epoch": epoch + 1, "step": self.step, "learning_rate": rate}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        self.check_finite(row, rate)
        self.rows.append(row | {"seconds": round(self.seconds, 3)})
        files.write_csv(self._run.metrics, self.rows)
        ends = self.step == self._plan.steps
        if not ends and self._pace.is_due(self.step, epoch_ends=True):
            self.save()
        self.stop_if_asked()

    def save(self) -> None:
        """Writes a backup of this moment.

        Raises:
            RunError: a weight is not finite: nothing is written.
        """
        began = time.perf_counter()
        if self._started:
            self._stop_clock()
            self._started = began
        arrays = [variable.value.numpy() for variable in _variables(self.model)]
        if not all(np.isfinite(array).all() for array in arrays):
            seen = self.model.watch.seen()
            raise self._not_finite("weights", self.step, seen.loss, seen.learning_rate)
        progress = backup.Progress(self.step, self.rows, self.seconds)
        backup.save(self._run.backup, backup.State(arrays, progress))
        self._saved = self.step
        self._pace.written(self.step, time.perf_counter() - began)

    def stop_if_asked(self) -> None:
        """Raises Interrupted, after a backup, if a signal has asked for a stop."""
        if self._stop.signal is None:
            return
        if self._saved != self.step:
            self.save()
        raise Interrupted(
            f"Stopped by {signal.Signals(self._stop.signal).name} after step "
            f"{self.step} of {self._plan.steps}; a backup is in {self._run.backup}. "
            f"{self._again}",
            self._stop.signal,
        )

    def check_finite(self, values: dict[str, float], learning_rate: float) -> None:
        """Raises RunError if a loss or metric after the last step is not finite."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._not_finite(name, self.step, value, learning_rate)

    def _fail_at_watched_step(self) -> None:
        seen = self.model.watch.seen()
        what = "gradients" if math.isfinite(seen.loss) else "loss"
        step = self._first_watched + seen.steps
        raise self._not_finite(what, step, seen.loss, seen.learning_rate)

    def _not_finite(
        self, what: str, step: int, loss: float, learning_rate: float
    ) -> RunError:
        kept = "No backup had been written yet"
        if self._saved is not None:
            kept = f"The backup of step {self._saved} stays in {self._run.backup}"
        return RunError(
            f"Not finite at step {step} of {self._plan.steps}: {what}. Received: loss "
            f"{loss:.6g}, learning rate {learning_rate:.3g}. {kept}. Try a lower "
            f"--learning_rate, as {learning_rate / 10:.1g}, with --overwrite or "
            "another --run_dir."
        )

    def _stop_clock(self) -> None:
        if self._started:
            self.seconds += time.perf_counter() - self._started
        self._started = 0.0


def _variables(model: TapeModel) -> list[keras.Variable]:
    """All state of a training, the metrics last: Keras resets them once more."""
    optimizer = model.optimizer.variables
    return [*model.variables, *optimizer, *model.metrics_variables]
