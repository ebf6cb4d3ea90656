"""Finds what can predict, by its name or path. Needs no TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib

from zoo import files
from zoo.errors import UserError, unknown
from zoo.records import published, weights
from zoo.records.published import Published
from zoo.records.rundir import RunDir, finished_run, run_of_model, runs_beside


@dataclasses.dataclass(frozen=True)
class Source:
    """Something that can predict and that has been found.

    Attributes:
        name: what the user called it.
        run: the finished run that it is or that it lies in, if there is one.
        file: the .keras file outside of a run, or the exported file; None for the model
            of the run.
        published: the weights that others have published, if it is one of these.
    """

    name: str
    run: RunDir | None
    file: pathlib.Path | None = None
    published: Published | None = None


def find(source: str | os.PathLike[str]) -> Source:
    """Finds weights by name, a run directory, a .keras file or an exported file.

    Raises:
        UserError: there is no such source, or the run is not finished.
    """
    given = os.fspath(source)
    if shipped := weights.run_of(given):
        return Source(given, shipped)
    if given in published.PUBLISHED:
        return Source(given, None, published=published.PUBLISHED[given])
    path = files.expanduser(given)
    if versions := _versions(path):  # a directory as TensorFlow Serving takes it
        path = versions[-1]
    if path.suffix == ".tflite" or files.exists(path / "saved_model.pb"):
        return Source(given, _run_around(path), path)
    if not given or not files.exists(path):
        known = [*weights.list_weights(), *runs_beside(given)]
        raise unknown("weights, run or file", given, known)
    if path.suffix == ".keras":
        run = run_of_model(path)
        if run is not None and run.finished:
            return Source(given, run)
        return Source(given, None, path)
    if path.is_file():
        raise UserError(
            f"A file that can predict ends in .keras or .tflite. Received: {path}."
        )
    return Source(given, finished_run(path))


def _versions(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the numbered SavedModels in a directory, the newest last."""
    with contextlib.suppress(OSError):
        found = [model.parent for model in path.glob("*/saved_model.pb")]
        numbered = [each for each in found if each.name.isdecimal()]
        return sorted(numbered, key=lambda each: int(each.name))
    return []


def _run_around(path: pathlib.Path) -> RunDir | None:
    """Returns the nearest finished run that a file lies in."""
    with contextlib.suppress(OSError):  # a directory that may not be read
        for parent in path.resolve().parents:
            run = RunDir(parent)
            if run.finished and run.config.exists():
                return run
    return None
