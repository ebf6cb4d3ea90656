"""What happens beside the training step: time, metrics.csv, backups, stopping."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import files
from zoo.data import cache
from zoo.data.dataset import Dataset
from zoo.data.pipeline import Plan, TrainingBatches
from zoo.errors import Interrupted, RunError, UserError
from zoo.models.base import TapeModel
from zoo.models.guard import NonFiniteGuard
from zoo.training import checkpoint
from zoo.training.distribute import Placement
from zoo.training.rundir import RunDir
from zoo.training.signals import SIGNALS, Stop


class Bookkeeper(keras.callbacks.Callback):
    """Keeps a training's place in the data, its rows, its time and its backup.

    Args:
        run: where metrics.csv and the backup are written.
        plan: the length of the training.
        batches: whose place in the data follows the epoch.
        dataset: what is trained and tested on, which may turn out to be unreadable.
        stop: whether a stop was asked for.
        backup_steps: steps between backups; None for ``BackupInterval``'s own.
        again: how to go on, for people.
        placement: the devices; only the chief writes, and all workers agree when.

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
        dataset: Dataset,
        *,
        stop: Stop,
        backup_steps: int | None,
        again: str,
        placement: Placement,
    ):
        super().__init__()
        self._run = run
        self._plan = plan
        self._batches = batches
        self._dataset = dataset
        self._stop = stop
        self._backup_steps = backup_steps
        self._again = again
        self._placement = placement
        self._started = 0.0
        self._metrics: list[np.ndarray] = []
        self._saved: int | None = None
        self._asked: int | None = None
        self._ask_at = self._asked_at = 0
        self._asked_then = 0.0
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
        self._values = self._placement.reader(_variables(model))
        like = self._values()
        if state := self._load_newest(like):
            self._check(state.progress)
            self._assign(_variables(model), state.arrays)
            self._metrics = state.arrays[-len(model.metrics_variables) :]
            self.step = self._saved = state.progress.step
            self.rows, self.seconds = state.progress.rows, state.progress.seconds
        size = sum(array.nbytes for array in like)
        self._interval = checkpoint.BackupInterval(
            self._backup_steps, done=self.step, size=size
        )
        self._first_watched = self.step
        with model.distribute_strategy.scope():
            model.guard = NonFiniteGuard()
        return self.step

    def _check(self, progress: checkpoint.Progress) -> None:
        """Raises UserError unless a training of this plan can have come so far."""
        done = progress.step // self._plan.steps_per_epoch
        if not 0 < progress.step <= self._plan.steps or len(progress.rows) != done:
            raise UserError(
                f"The backup of step {progress.step} in {self._run.backup} is not of "
                f"this run of {self._plan.steps} steps. Pass --overwrite to start over."
            )

    def _load_newest(self, like: list[np.ndarray]) -> checkpoint.State | None:
        # The chief first, since it sets damaged ones aside.
        if not self._placement.is_chief:
            self._placement.wait()
        state = checkpoint.load_newest(self._run.backup, like)
        if self._placement.is_chief:
            self._placement.wait()
        step = state.progress.step if state else 0
        self._placement.check_same("the backup that they see", f"step {step}")
        return state

    def _assign(
        self, variables: Sequence[keras.Variable], values: Sequence[np.ndarray]
    ) -> None:
        with self.model.distribute_strategy.scope():
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = self.step
        self._end = (epoch + 1) * self._plan.steps_per_epoch
        self._batches.start_at(self.step)
        # In the middle of an epoch: Keras has just reset them.
        if self._metrics and self.step % self._plan.steps_per_epoch:
            self._assign(self.model.metrics_variables, self._metrics)
        self._metrics = []
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        cache.check(self._dataset.train)
        # An execution counts all its steps, but an epoch's last one may be shorter.
        self.step = min(self._first + batch + 1, self._end)
        if not math.isfinite(logs["loss"]):
            self._fail_at_watched_step()
        if self.step == self._end:
            return  # on_epoch_end is next, with the row that belongs to this step
        if self._is_due():
            self.save()
            self._stop_if_asked()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._stop_clock()  # evaluation is not training

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_clock()
        cache.check(self._dataset.test)
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"epoch": epoch + 1, "step": self.step, "learning_rate": rate}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        if self._dataset.spec.task == "regression":
            row |= zip(("weight", "bias"), self.model.line(), strict=True)
        self.check_finite(row, rate)
        self.rows.append(row | {"seconds": round(self.seconds, 3)})
        if self._placement.is_chief:
            files.write_csv(self._run.metrics, self.rows)
        ends = self.step == self._plan.steps
        due = self._is_due(epoch_ends=True)
        if due and not ends:
            self.save()
        self._stop_if_asked()

    def _is_due(self, *, epoch_ends: bool = False, ask: bool = False) -> bool:
        """Whether to write a backup now, be it because a signal asks for a stop.

        Several workers ask each other about once in a second, by the chief's clock,
        at the ends of epochs, and where ``ask`` says so.
        """
        due = self._interval.is_due(self.step, epoch_ends=epoch_ends)
        by_step = bool(self._backup_steps) and due
        alone = self._placement.workers == 1
        if not (alone or by_step or epoch_ends or ask or self.step >= self._ask_at):
            return False
        mine = [int(self._stop.signal == number) for number in SIGNALS]
        now = time.perf_counter()
        steps_per_second = (self.step - self._asked_at) / max(now - self._asked_then, 1)
        self._asked_at, self._asked_then = self.step, now
        from_chief = [int(due), max(1, int(steps_per_second))]
        if not self._placement.is_chief:
            from_chief = [0, 0]
        due, wait, *stops = self._placement.total([*from_chief, *mine])
        self._ask_at = self.step + wait
        for number, asked in zip(SIGNALS, stops, strict=True):
            if asked:
                self._asked = number
        return bool(due or any(stops))

    def save(self) -> None:
        """Writes a backup of this moment.

        Raises:
            RunError: a weight is not finite: nothing is written.
        """
        began = time.perf_counter()
        if self._started:
            self._stop_clock()
            self._started = began
        arrays = self._values()
        if not all(np.isfinite(array).all() for array in arrays):
            seen = self.model.guard.seen()
            raise self._not_finite("weights", self.step, seen.loss, seen.learning_rate)
        progress = checkpoint.Progress(self.step, self.rows, self.seconds)
        if self._placement.is_chief:
            checkpoint.save(self._run.backup, checkpoint.State(arrays, progress))
        self._saved = self.step
        self._interval.written(self.step, time.perf_counter() - began)

    def stop_if_asked(self) -> None:
        """Raises Interrupted, after a backup, if a signal has asked for a stop."""
        self._is_due(ask=True)
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if self._asked is None:
            return
        if self._saved != self.step:
            self.save()
        raise Interrupted(
            f"Stopped by {signal.Signals(self._asked).name} after step "
            f"{self.step} of {self._plan.steps}; a backup is in {self._run.backup}. "
            f"{self._again}",
            self._asked,
        )

    def check_finite(self, values: dict[str, float], learning_rate: float) -> None:
        """Raises RunError if a loss or metric after the last step is not finite."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise self._not_finite(name, self.step, value, learning_rate)

    def _fail_at_watched_step(self) -> None:
        seen = self.model.guard.seen()
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


class Evaluation(keras.callbacks.Callback):
    """Evaluates a copy of the model, on one device and in float32, between epochs.

    Args:
        copy: the model to evaluate.
        data: (x, y) batches.
        epochs: the epochs, from 1, after which it is evaluated.
        before: called before; brings the copy up to date.
    """

    def __init__(
        self,
        copy: TapeModel,
        data: tf.data.Dataset,
        epochs: Collection[int],
        before: Callable[[], None],
    ):
        super().__init__()
        self._copy, self._data, self._epochs = copy, data, epochs
        self._before = before

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if epoch + 1 in self._epochs:
            self._before()
            tested = self._copy.evaluate(self._data, verbose=0, return_dict=True)
            logs.update({f"val_{name}": value for name, value in tested.items()})


def state_copier(
    placement: Placement, model: TapeModel, to: TapeModel
) -> Callable[[], None]:
    """Returns a function that copies weights and the optimizer's variables.

    Args:
        placement: the devices of ``model``.
        model: the model in training.
        to: another one made alike, on one device and in float32.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    read = placement.reader([*model.variables, *optimizer.variables])

    def copy() -> None:
        variables = (*to.variables, *to.optimizer.variables)
        for variable, value in zip(variables, read(), strict=True):
            variable.assign(value)

    return copy
