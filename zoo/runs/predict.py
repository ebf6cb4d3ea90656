"""Evaluates finished runs and exported files, and predicts with them."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from zoo import console, files, pretrained, startup
from zoo.data import decode
from zoo.errors import UserError
from zoo.records.rundir import RunDir, finished_run
from zoo.runs.run import TrainedRun, open_run, run_dataset
from zoo.runs.scoring import outputs
from zoo.runs.scoring import probabilities as to_probabilities
from zoo.training.pretrained_run import evaluation_data, open_weights

if TYPE_CHECKING:
    from zoo.runs.artifact import Artifact

#: How far an image's mean may be outside of the range of the training images' means.
FAR = 25


def read_image(path: str | os.PathLike[str], input_shape: Sequence[int]) -> np.ndarray:
    """Reads an image file of any size and resizes it for the model.

    Args:
        path: a PNG, JPEG, BMP, GIF or WebP file.
        input_shape: (height, width, channels).

    Returns:
        uint8 (height, width, channels).

    Raises:
        UserError: the file is missing or does not decode.
    """
    height, width, channels = input_shape
    try:
        with startup.quiet():
            image = decode.to_channels(decode.read_image(path), channels)
            return decode.resize(image, height, width).numpy()
    except UserError as error:
        raise UserError(f"{path} {error}.") from None


def evaluate(
    run_dir: str | None = None,
    artifact_path: str | None = None,
    *,
    weights: str | None = None,
    dataset: str | None = None,
) -> dict[str, float]:
    """Evaluates a run, an artifact or pretrained weights on a whole test split.

    Args:
        run_dir: a finished run; None for the one that holds the artifact.
        artifact_path: a SavedModel or TFLite file; None for the model of the run.
        weights: a name of ``zoo.list_weights()``, instead of a run or an artifact.
        dataset: what to evaluate the weights on; see
            ``pretrained_run.evaluation_data``.

    Returns:
        ``examples`` and ``accuracy``, or for a regression ``examples`` and
        ``mean_squared_error``.

    Raises:
        UserError: there is no such run, artifact or weights, the artifact is in no run,
            or it has been changed since it was exported.
    """
    if weights is not None:
        data, _ = evaluation_data(pretrained.find(weights), dataset)
        test, said = data.test, outputs(open_weights(weights).model, data.test)
    elif artifact_path is None:
        trained = _open_run(run_dir)
        test, said = trained.dataset.test, trained.outputs
    else:
        loaded, run = _open_artifact(run_dir, artifact_path)
        if run is None:
            raise UserError(
                f"{artifact_path} lies in no run directory. Pass --run_dir too: the "
                "run whose test split it is evaluated on."
            )
        test = run_dataset(run).test
        said = np.concatenate([loaded(part) for part in test.blocks()])
    result = {"examples": len(test.y)}
    if test.y.ndim == 2:  # numbers, not classes
        return result | {"mean_squared_error": float(np.square(said - test.y).mean())}
    return result | {"accuracy": float((said.argmax(axis=1) == test.y).mean())}


def predict_images(
    run_dir: str | None,
    artifact_path: str | None,
    paths: Sequence[str],
    *,
    weights: str | None = None,
    invert: bool = False,
) -> list[tuple[str, str, float]]:
    """Classifies image files with a run's model, or with an artifact.

    Warns about images that are much darker or lighter than the training images.

    Args:
        run_dir: as for ``evaluate``.
        artifact_path: as for ``evaluate``; it may lie in no run.
        paths: PNG, JPEG, BMP, GIF or WebP files of any size.
        weights: as for ``evaluate``.
        invert: swap black and white.

    Returns:
        (path, class name, probability) for each file.

    Raises:
        UserError: the run or an image cannot be read, or the model is a regression.
    """
    trained, loaded = _open(run_dir, artifact_path, weights)
    if trained is not None:
        data = trained.config["data"]
        input_shape, class_names = data["input_shape"], data["class_names"]
    elif loaded is not None:
        input_shape = loaded.input.example_shape
        labels = loaded.path.parent / "labels.txt"
        class_names = [str(i) for i in range(loaded.output.example_shape[-1])]
        if labels.exists():
            class_names = labels.read_text(encoding="utf-8").splitlines()
    if len(input_shape) != 3:
        raise UserError("A regression does not take images.")
    if not paths:
        return []
    batch = _read_all(paths, input_shape, invert)
    if trained is not None:
        _check_brightness(paths, batch, trained.config.get("brightness"), invert)
    try:
        if loaded is not None:
            probabilities = loaded(batch)
        elif trained is not None:
            said = trained.model.predict(batch, verbose=0)
            probabilities = to_probabilities(trained.model, said)
    except (ValueError, tf.errors.OpError):
        probabilities = np.empty((0, 0))
    if probabilities.shape != (len(paths), len(class_names)):
        raise UserError(
            f"The model does not turn images of {tuple(input_shape)} into "
            f"{len(class_names)} classes, as the files beside it say. Were they edited?"
        )
    return [
        (path, class_names[row.argmax()], float(row.max()))
        for path, row in zip(paths, probabilities, strict=True)
    ]


def _read_all(
    paths: Sequence[str], input_shape: Sequence[int], invert: bool
) -> np.ndarray:
    """Reads images; raises a UserError that names all that do not decode."""
    images, problems = [], []
    for path in paths:
        try:
            images.append(read_image(path, input_shape))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError(" ".join(problems))
    return 255 - np.stack(images) if invert else np.stack(images)


def _check_brightness(
    paths: Sequence[str],
    images: np.ndarray,
    trained: Mapping[str, float] | None,
    inverted: bool,
) -> None:
    """Warns about images whose brightness is far from that of the training images.

    Args:
        paths: the files of the images, for the message.
        images: uint8 (n, height, width, channels).
        trained: ``brightness`` in config.json; None if an older version wrote it.
        inverted: whether the images have been inverted.
    """
    if not trained:
        return
    low, high = trained["lowest"] - FAR, trained["highest"] + FAR
    for path, value in zip(paths, images.mean(axis=(1, 2, 3)), strict=True):
        if low <= value <= high:
            continue
        hint = ""
        if low <= 255 - value <= high:
            flag = "leave out --invert" if inverted else "pass --invert"
            hint = f" If black and white are swapped in it, {flag}."
        console.warn(
            f"{path} is much {'darker' if value < low else 'lighter'} than the images "
            f"that the model was trained on (mean {value:.0f} of 255; theirs are "
            f"{trained['lowest']:.0f} to {trained['highest']:.0f}): the answer may be "
            f"wrong, even if its probability is high.{hint}"
        )


def _open(
    run_dir: str | None, artifact_path: str | None, weights: str | None
) -> tuple[TrainedRun | None, Artifact | None]:
    """Returns the run, if there is one, and the artifact, if one is named."""
    if weights is not None:
        return open_weights(weights), None
    if artifact_path is None:
        return _open_run(run_dir), None
    loaded, run = _open_artifact(run_dir, artifact_path)
    return TrainedRun(run) if run else None, loaded


def _open_run(run_dir: str | None) -> TrainedRun:
    if run_dir is None:
        raise UserError("Pass a run directory or an artifact. Received: neither.")
    return open_run(run_dir)


def _open_artifact(
    run_dir: str | None, artifact_path: str
) -> tuple[Artifact, RunDir | None]:
    """Returns an artifact and the run that it belongs to, if there is one."""
    from zoo.runs import artifact

    path, run = pathlib.Path(artifact_path), None
    if run_dir:
        run = finished_run(run_dir)
    else:
        with contextlib.suppress(OSError):  # a directory that may not be read
            around = map(RunDir, path.resolve().parents)
            run = next((r for r in around if r.finished and r.config.exists()), None)
    if run is not None:
        with contextlib.suppress(OSError):  # load reports that it cannot be read
            _check_unchanged(path, run)
    return artifact.load(path, workers=startup.cpus()), run


def _check_unchanged(path: pathlib.Path, run: RunDir) -> None:
    """Raises UserError if the artifact is not the one that export.json describes."""
    content = run.read_export() or {"artifacts": []}
    for record in content["artifacts"]:
        exported = run.export / record["path"]
        if not (exported.exists() and path.exists() and exported.samefile(path)):
            continue
        if (found := files.checksum(path)) != record["sha256"]:
            raise UserError(
                f"{path} was changed since it was exported: its sha256 is {found}, "
                f"export.json has {record['sha256']}. Export the run again."
            )
