"""``zoo.open``: one door to everything that can predict."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from zoo import files, startup
from zoo.data.dataset import Split
from zoo.errors import UserError
from zoo.records import sources
from zoo.records.rundir import RunDir
from zoo.runs.artifact import Artifact, load
from zoo.runs.predictor import Predictor
from zoo.runs.run import KerasFile, PublishedModel, Run


class ExportedFile(Predictor):
    """An exported file, and the run that it lies in, if there is one."""

    def __init__(self, artifact: Artifact, run: Run | None):
        self.name, self.artifact, self.run = str(artifact.path), artifact, run

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.artifact.input.example_shape

    @property
    def _labels(self) -> pathlib.Path:
        return self.artifact.path.parent / "labels.txt"

    @property
    def knows_names(self) -> bool:  # type: ignore[override]
        """Whether the file lies in a run or beside labels.txt."""
        return self.run is not None or self._labels.exists()

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Those of the run, or else of labels.txt beside the file, or else numbers."""
        if self.run is not None:
            return self.run.class_names
        if self.artifact.output.name == "y":
            return ()
        if self._labels.exists():
            return tuple(self._labels.read_text(encoding="utf-8").splitlines())
        return tuple(map(str, range(self.artifact.output.example_shape[-1])))

    @property
    def brightness(self) -> Mapping[str, float] | None:
        """That of the training images of the run."""
        return self.run.brightness if self.run else None

    @property
    def resize(self) -> str:
        """That of the run."""
        return self.run.resize if self.run else super().resize

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the file in its own runtime; see ``zoo.runs.artifact.Artifact``."""
        return self.artifact(inputs)

    def test_split(self) -> Split:
        """Returns the test split of the run."""
        if self.run is None:
            return super().test_split()
        return self.run.test_split()


def open(source: str | os.PathLike[str] | sources.Source) -> Predictor:
    """Opens whatever can predict.

        classify = zoo.open("resnet/cifar10")
        probabilities = classify.predict(["photo.jpg"])
        classify.class_names[probabilities[0].argmax()]

    Args:
        source: pretrained weights, such as ``mlp/mnist`` or
            ``efficientnet_lite/imagenet``; a run directory; a .keras file; a
            SavedModel's directory; or a .tflite file. The zoo's own names take
            precedence over paths.

    Returns:
        An object with ``predict``, ``evaluate``, ``class_names`` and ``input_shape``.

    Raises:
        UserError: there is no such source, it is damaged, the run is not finished, or
            the file was changed since it was exported.
    """
    found = source if isinstance(source, sources.Source) else sources.find(source)
    if found.published:
        return PublishedModel(found.published)
    run = Run(found.run, name=found.name) if found.run else None
    if found.file is None:
        assert run, "a source is a run or a file"
        return run
    if found.file.suffix == ".keras":
        return KerasFile(found.file)
    if run is not None:
        _check_unchanged(found.file, run.run)
    return ExportedFile(load(found.file, workers=startup.cpus()), run)


def predict(
    source: str | os.PathLike[str],
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[tuple[str, str, float]]:
    """Classifies image files of any size.

    Args:
        source: as for ``zoo.open``.
        paths: paths of PNG, JPEG, BMP, GIF or WebP files, or a single path.

    Returns:
        (path, class name, probability) for each file.

    Raises:
        UserError: ``source`` does not exist, or a file cannot be read.
    """
    names = [paths] if isinstance(paths, str | os.PathLike) else paths
    return top(open(source), [os.fspath(name) for name in names])


def top(
    predictor: Predictor,
    paths: Sequence[str],
    *,
    invert: bool = False,
    progress: bool = False,
) -> list[tuple[str, str, float]]:
    """Returns (path, class name, probability) of the most probable class of files."""
    rows = predictor.predict(paths, invert=invert, progress=progress)
    names = predictor.class_names
    return [
        (path, names[row.argmax()], float(row.max()))
        for path, row in zip(paths, rows, strict=True)
    ]


def _check_unchanged(path: pathlib.Path, run: RunDir) -> None:
    """Raises UserError if the file is not the one that export.json describes."""
    recorded = run.exported_sha256(path)
    if recorded and (found := files.checksum(path)) != recorded:
        raise UserError(
            f"{path} was changed since it was exported: its sha256 is {found}, "
            f"export.json has {recorded}. Export the run again."
        )
