"""Backups of an unfinished training: every variable, and where it stood.

A backup is one uncompressed .npz file: the values of the variables by their numbers,
and the progress as JSON text. Zip keeps a checksum of each.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import time
import zipfile
from collections.abc import Sequence

import numpy as np

from zoo import console, files
from zoo.errors import UserError

GENERATIONS = 2
# Without --backup_steps: as often as this, if what it costs allows it.
_SECONDS = 30.0
_TIMES_THE_COST = 60.0


@dataclasses.dataclass
class Progress:
    """Where a training stands: steps done, rows of metrics.csv, seconds of training."""

    step: int = 0
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


class BackupInterval:
    """When a backup of ``size`` bytes is due, if ``done`` steps are done already.

    That is after every so many ``steps``; for None, every 30 s and at each epoch's end,
    as far as that costs less than 1/60 of the time.
    """

    def __init__(self, steps: int | None, *, done: int, size: int):
        self._steps, self._done = steps, done
        self._cost = 0.005 + size / 200e6  # a guess, until the first has shown it
        self._last = time.monotonic()

    def is_due(self, step: int, *, epoch_ends: bool = False) -> bool:
        """Whether to write one now that ``step`` steps are done."""
        if self._steps:
            return step // self._steps > self._done // self._steps
        waited = time.monotonic() - self._last
        return waited >= _TIMES_THE_COST * self._cost and (
            epoch_ends or waited >= _SECONDS
        )

    def written(self, step: int, seconds: float) -> None:
        """Takes note of a backup and of what it cost."""
        self._done, self._cost, self._last = step, seconds, time.monotonic()


def save(
    directory: pathlib.Path, arrays: Sequence[np.ndarray], progress: Progress
) -> None:
    """Writes a backup, or raises OSError; removes the ones that are too many."""
    directory.mkdir(exist_ok=True)
    text = json.dumps(dataclasses.asdict(progress), allow_nan=False)
    content = {str(number): array for number, array in enumerate(arrays)}
    content["progress"] = np.frombuffer(text.encode(), np.uint8)
    with files.replacing(directory / f"step-{progress.step:09d}.npz") as beside:
        np.savez(beside, **content)
    kept = sorted(directory.glob("step-*.npz"))[-GENERATIONS:]
    for path in {*directory.glob("step-*"), *directory.glob(".step-*")} - {*kept}:
        path.unlink()


def load_newest(
    directory: pathlib.Path, like: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], Progress] | None:
    """Reads the newest backup that is whole; sets damaged ones aside with a warning.

    Args:
        directory: where ``save`` wrote.
        like: arrays of the shapes and types that were saved.

    Returns:
        What was saved; None where there never was a backup.

    Raises:
        UserError: there are backups, and none of them is whole.
    """
    for path in sorted(directory.glob("step-*.npz"), reverse=True):
        try:
            return _load(path, like)
        except Exception as error:
            # A damaged file: whatever the readers of zip, .npy and JSON raise.
            reason = " ".join(str(error).split())[:200]
            console.warn(
                f"The backup {path} is damaged ({reason}): it is set aside, and one "
                "before it is used if there is one."
            )
            path.rename(path.with_name(f"damaged-{path.name}"))
    if any(directory.glob("damaged-*")):
        raise UserError(
            f"No backup in {directory} is whole: the run cannot go on where it "
            "stopped. Pass --overwrite to start over."
        )
    if any(directory.glob("step-*.bin")):
        console.warn(
            f"The backups in {directory} were written by an earlier version, which "
            "this one cannot read: the training starts over."
        )
    return None


def _load(
    path: pathlib.Path, like: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], Progress]:
    with zipfile.ZipFile(path) as archive:
        # Before anything is parsed: no damaged header is believed.
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} differs")
    with np.load(path, allow_pickle=False) as content:
        if len(content) != len(like) + 1:
            raise ValueError(f"{len(content) - 1} variables instead of {len(like)}")
        arrays = [content[str(number)] for number in range(len(like))]
        progress = Progress(**json.loads(content["progress"].tobytes()))
    values = [progress.seconds, *(v for row in progress.rows for v in row.values())]
    if not isinstance(progress.step, int) or not all(map(math.isfinite, values)):
        raise ValueError("its progress is not made of numbers")
    for number, (array, expected) in enumerate(zip(arrays, like, strict=True)):
        if (array.shape, array.dtype) != (expected.shape, expected.dtype):
            raise ValueError(
                f"variable {number} is {array.dtype}{array.shape} instead of "
                f"{expected.dtype}{expected.shape}"
            )
    return arrays, progress
