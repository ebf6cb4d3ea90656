"""Backups of an unfinished training: every variable, and where it stood.

A generation is two files: the values of the variables one after the other, as
they lie in memory, and a manifest with the checksum, which is written last:
without it there is no generation. What the bytes mean, the model knows: there is
nothing in them to be parsed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo import console, files
from zoo.errors import UserError

GENERATIONS = 2
# What reading a file that anybody may have edited can raise.
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError),
    *(AttributeError, OverflowError, RecursionError),
)
# Without --backup_steps: as often as this, if what it costs allows it.
_SECONDS = 30.0
_TIMES_THE_COST = 60.0
# What one costs, until the first has shown it.
_SECONDS_AT_LEAST = 0.005
_BYTES_PER_SECOND = 200e6


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a training stood.

    Attributes:
        step: steps that are done.
        rows: the rows of metrics.csv, one for each epoch that is done.
        seconds: time spent training.
    """

    step: int
    rows: list[dict[str, float]]
    seconds: float


@dataclasses.dataclass(frozen=True)
class State:
    """What a training needs to go on as if it had never stopped.

    Attributes:
        arrays: the variables' values, in their order.
        progress: where it stood.
    """

    arrays: list[np.ndarray]
    progress: Progress


class BackupInterval:
    """When a backup is due.

    Args:
        steps: after every so many steps; None for every 30 s and at each epoch's
            end, as far as that costs less than 1/60 of the time.
        done: steps that are done already.
        size: bytes of a backup, from which the cost of the first one is guessed.
    """

    def __init__(self, steps: int | None, *, done: int, size: int):
        self._steps = steps
        self._done = done
        self._cost = _SECONDS_AT_LEAST + size / _BYTES_PER_SECOND
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


def save(directory: pathlib.Path, state: State) -> None:
    """Writes a generation and removes the ones that are too many.

    Raises:
        OSError: it cannot be written; the generations before it are as they were.
    """
    directory.mkdir(exist_ok=True)
    manifest = directory / f"step-{state.progress.step:09d}.json"
    progress = dataclasses.asdict(state.progress)
    digest = _digest(progress)
    with (
        files.replacing(manifest.with_suffix(".bin")) as beside,
        beside.open("wb") as file,
    ):
        for array in state.arrays:
            content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            digest.update(content)
            file.write(content)
    files.write_json(manifest, {"sha256": digest.hexdigest(), "progress": progress})
    kept = sorted(directory.glob("step-*.json"))[-GENERATIONS:]
    for path in (*directory.glob("step-*"), *directory.glob(".step-*")):
        if path.with_suffix(".json") not in kept:
            path.unlink()


def load_newest(directory: pathlib.Path, like: Sequence[np.ndarray]) -> State | None:
    """Reads the newest backup that is whole; sets damaged ones aside with a warning.

    Args:
        directory: where ``save`` wrote.
        like: arrays of the shapes and types that were saved.

    Returns:
        The state, or None where there never was a backup.

    Raises:
        UserError: there are backups, and none of them is whole.
    """
    for manifest in sorted(directory.glob("step-*.json"), reverse=True):
        try:
            return _load(manifest, like)
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())[:200]
            console.warn(
                f"The backup {manifest.with_suffix('.bin')} is damaged ({reason}): it "
                "is set aside, and the one before it is used."
            )
            for part in (manifest, manifest.with_suffix(".bin")):
                if part.exists():
                    part.rename(part.with_name(f"damaged-{part.name}"))
    if any(directory.glob("damaged-*")):
        raise UserError(
            f"No backup in {directory} is whole: the run cannot go on where it "
            "stopped. Pass --overwrite to start over."
        )
    return None


def _load(manifest: pathlib.Path, like: Sequence[np.ndarray]) -> State:
    content = json.loads(manifest.read_text(encoding="utf-8"))
    path = manifest.with_suffix(".bin")
    size, expected = path.stat().st_size, sum(array.nbytes for array in like)
    if size != expected:
        raise ValueError(f"{size} bytes instead of {expected}")
    data = path.read_bytes()
    digest = _digest(content["progress"])
    digest.update(data)
    if digest.hexdigest() != content["sha256"]:
        raise ValueError("its checksum differs")
    arrays, start = [], 0
    for array in like:
        values = np.frombuffer(data, array.dtype, array.size, start)
        arrays.append(values.reshape(array.shape))
        start += array.nbytes
    return State(arrays, _progress(content["progress"]))


def _progress(content: dict[str, Any]) -> Progress:
    progress = Progress(**content)
    numbers = [progress.seconds, *(v for row in progress.rows for v in row.values())]
    if not isinstance(progress.step, int) or not all(map(math.isfinite, numbers)):
        raise ValueError("its progress is not made of numbers")
    return progress


def _digest(progress: dict[str, Any]) -> Any:
    text = json.dumps(progress, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode())
