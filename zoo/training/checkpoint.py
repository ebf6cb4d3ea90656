"""Backups of an unfinished training: all variables and the progress.

A backup is one uncompressed .npz file. It holds the values of the variables, named by
number, and the progress as JSON text. The zip format adds a checksum to each.
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
# Without --backup_steps: seconds between backups, and their largest share of the time.
_SECONDS = 30.0
_TIMES_THE_COST = 60.0


@dataclasses.dataclass
class Progress:
    """The progress of a training: steps, rows of metrics.csv, seconds of training."""

    step: int = 0
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


class BackupInterval:
    """Decides when a backup is due.

    Args:
        steps: steps between backups. None: every 30 s and at the end of each epoch, as
            long as backups take less than 1/60 of the time.
        done: number of steps that are done already.
        size: size of a backup in bytes.
    """

    def __init__(self, steps: int | None, *, done: int, size: int):
        self._steps, self._done = steps, done
        self._cost = 0.005 + size / 200e6  # an estimate until the first is measured
        self._last = time.monotonic()

    def is_due(self, step: int, *, epoch_ends: bool = False) -> bool:
        """Returns whether to write a backup after ``step`` steps."""
        if self._steps:
            return step // self._steps > self._done // self._steps
        waited = time.monotonic() - self._last
        return waited >= _TIMES_THE_COST * self._cost and (
            epoch_ends or waited >= _SECONDS
        )

    def written(self, step: int, seconds: float) -> None:
        """Records that a backup was written and how many seconds it took."""
        self._done, self._cost, self._last = step, seconds, time.monotonic()


def save(
    directory: pathlib.Path, arrays: Sequence[np.ndarray], progress: Progress
) -> None:
    """Writes a backup and removes all but the newest two."""
    directory.mkdir(exist_ok=True)
    text = json.dumps(dataclasses.asdict(progress), allow_nan=False)
    content = {str(number): array for number, array in enumerate(arrays)}
    content["progress"] = np.frombuffer(text.encode(), np.uint8)
    with files.replacing(directory / f"step-{progress.step:09d}.npz") as beside:
        np.savez(beside, allow_pickle=False, **content)
    kept = sorted(directory.glob("step-*.npz"))[-GENERATIONS:]
    for path in {*directory.glob("step-*"), *directory.glob(".step-*")} - {*kept}:
        path.unlink()


def load_newest(
    directory: pathlib.Path, like: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], Progress]:
    """Reads the newest intact backup; sets damaged ones aside with a warning.

    ``like`` has the shapes and types of the saved variables. Returns no arrays if there
    never was a backup; raises UserError if all of them are damaged.
    """
    for path in sorted(directory.glob("step-*.npz"), reverse=True):
        try:
            return _load(path, like)
        except Exception as error:
            # A damaged file makes the readers of zip, .npy and JSON raise anything.
            reason = " ".join(str(error).split())[:200]
            console.warn(
                f"The backup {path} is damaged ({reason}). It is set aside, and the "
                "previous one is used if there is one."
            )
            path.rename(path.with_name(f"damaged-{path.name}"))
    if any(directory.glob("damaged-*")):
        raise UserError(
            f"All backups in {directory} are damaged: the run cannot resume. Pass "
            "--overwrite to start over."
        )
    return [], Progress()


def _load(
    path: pathlib.Path, like: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], Progress]:
    with zipfile.ZipFile(path) as archive:
        # Check before parsing, so that no damaged header is trusted.
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} differs")
    with np.load(path, allow_pickle=False) as content:
        if len(content) != len(like) + 1:
            raise ValueError(f"{len(content) - 1} variables instead of {len(like)}")
        arrays = [content[str(number)] for number in range(len(like))]
        progress = Progress(**json.loads(content["progress"].tobytes()))
    values = [progress.seconds, *(v for row in progress.rows for v in row.values())]
    if not isinstance(progress.step, int) or not all(map(math.isfinite, values)):
        raise ValueError("its progress has values that are not finite numbers")
    for number, (array, expected) in enumerate(zip(arrays, like, strict=True)):
        if (array.shape, array.dtype) != (expected.shape, expected.dtype):
            raise ValueError(
                f"variable {number} is {array.dtype}{array.shape} instead of "
                f"{expected.dtype}{expected.shape}"
            )
    return arrays, progress
