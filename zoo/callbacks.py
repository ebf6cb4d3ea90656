"""What happens beside the training step: time, metrics.csv, backups."""

from __future__ import annotations

import time
from typing import Any

import keras

from zoo import backup, files
from zoo.data.pipeline import Plan, TrainingBatches
from zoo.models.tape import TapeModel
from zoo.rundir import RunDir


class Bookkeeper(keras.callbacks.Callback):
    """Keeps a training's place in the data, its rows, its time and its backup.

    Args:
        run: where metrics.csv and the backup are written.
        plan: the length of the training.
        batches: whose place in the data follows the epoch.
    """

    def __init__(self, run: RunDir, plan: Plan, batches: TrainingBatches):
        super().__init__()
        self._run = run
        self._plan = plan
        self._batches = batches
        self._started = 0.0
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    def restore(self, model: TapeModel) -> int:
        """Brings back the newest backup, if any; returns the epochs that are done."""
        state = backup.load_newest(self._run.backup)
        if state is None:
            return 0
        for name, variable in _variables(model).items():
            variable.assign(state.arrays[name])
        self.rows = state.progress["rows"]
        self.seconds = state.progress["seconds"]
        return len(self.rows)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._batches.start_at(epoch * self._plan.steps_per_epoch)
        self._started = time.perf_counter()

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._stop_clock()  # evaluation is not training

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._stop_clock()
        step = (epoch + 1) * self._plan.steps_per_epoch
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"epoch": epoch + 1, "step": step, "learning_rate": rate}
        row |= {name: float(value) for name, value in (logs or {}).items()}
        self.rows.append(row | {"seconds": round(self.seconds, 3)})
        files.write_csv(self._run.metrics, self.rows)
        if epoch + 1 < self._plan.epochs:
            arrays = {
                name: variable.numpy()
                for name, variable in _variables(self.model).items()
            }
            progress = {"step": step, "rows": self.rows, "seconds": self.seconds}
            backup.save(self._run.backup, backup.State(arrays, progress), step)

    def _stop_clock(self) -> None:
        if self._started:
            self.seconds += time.perf_counter() - self._started
        self._started = 0.0


def _variables(model: TapeModel) -> dict[str, Any]:
    # By position: names are for people, and need not be unique.
    variables = [*model.variables, *model.optimizer.variables]
    return {f"{i:04d}": variable for i, variable in enumerate(variables)}
