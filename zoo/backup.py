"""Backups of an unfinished training: every variable, and where it stood."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import warnings
from typing import Any

import numpy as np

from zoo import files
from zoo.errors import UserError

GENERATIONS = 2


@dataclasses.dataclass(frozen=True)
class State:
    """What a training needs to go on as if it had never stopped.

    Attributes:
        arrays: the variables' values by name.
        progress: JSON values: the step, the rows of metrics.csv, the seconds.
    """

    arrays: dict[str, np.ndarray]
    progress: dict[str, Any]


def save(directory: pathlib.Path, state: State, step: int) -> None:
    """Writes a generation and removes the ones that are too many.

    The manifest, with the checksum, is written last: without it there is no
    generation.
    """
    directory.mkdir(exist_ok=True)
    arrays = directory / f"step-{step:09d}.npz"
    with files.replacing(arrays) as beside, beside.open("wb") as file:
        np.savez(file, **state.arrays)
    manifest = {"sha256": files.sha256(arrays), "progress": state.progress}
    files.write_json(arrays.with_suffix(".json"), manifest)
    for old in sorted(directory.glob("step-*.json"))[:-GENERATIONS]:
        old.unlink()
        old.with_suffix(".npz").unlink(missing_ok=True)


def load_newest(directory: pathlib.Path) -> State | None:
    """Reads the newest backup that is whole; sets damaged ones aside with a warning.

    Returns:
        The state, or None where there never was a backup.

    Raises:
        UserError: there are backups, and none of them is whole.
    """
    manifests = sorted(directory.glob("step-*.json"), reverse=True)
    for manifest in manifests:
        try:
            return _load(manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(
                f"The backup {manifest.with_suffix('.npz')} is damaged ({error}); it "
                "is set aside and the one before it is used.",
                stacklevel=2,
            )
            for part in (manifest, manifest.with_suffix(".npz")):
                if part.exists():
                    part.rename(part.with_name(f"damaged-{part.name}"))
    if manifests:
        raise UserError(
            f"No backup in {directory} is whole. Pass --overwrite to start over."
        )
    return None


def _load(manifest: pathlib.Path) -> State:
    content = json.loads(manifest.read_text(encoding="utf-8"))
    arrays = manifest.with_suffix(".npz")
    if files.sha256(arrays) != content["sha256"]:
        raise ValueError("its checksum differs")
    with np.load(arrays, allow_pickle=False) as archive:
        return State(dict(archive), dict(content["progress"]))
