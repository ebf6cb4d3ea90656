"""Trained models again: loading them, asking them about images."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from zoo import files, registry, startup
from zoo.data import decode, load, memory, pipeline
from zoo.data.dataset import Dataset, Split
from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.training.outcome import TrainedRun, open_run
from zoo.training.rundir import RunDir, finished_run

if TYPE_CHECKING:
    from zoo.artifact import Artifact


def load_run(
    run_dir: str | os.PathLike[str],
    device_weights: str | os.PathLike[str] | None = None,
) -> TapeModel:
    """Returns the trained model of a finished run, compiled; see ``zoo.load_run``."""
    run = finished_run(run_dir)
    if not run.model.exists():
        raise UserError(f"{run.model} is missing.")
    registry.import_all()
    try:
        model = keras.models.load_model(run.model, safe_mode=True)
    except Exception as error:
        # Keras raises whatever its zip, HDF5 and JSON readers raise.
        raise UserError(
            f"{run.model} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if device_weights is not None:
        _take_over(model, device_weights)
    return model


def _take_over(model: TapeModel, path: str | os.PathLike[str]) -> None:
    """Puts weights from a device into the model."""
    from zoo.learner import checked_weights

    try:
        with np.load(path, allow_pickle=False) as file:
            weights = dict(file)
    except Exception as error:
        # NumPy raises whatever its zip and header readers raise; an .npy is no dict.
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"device_weights must be an .npz file of what the signature weights gave. "
            f"Received: {path} ({reason})."
        ) from None
    variables = dict(zip(model.parameter_names, model.trainable_weights, strict=True))
    weights = checked_weights(
        weights, {name: tuple(v.shape) for name, v in variables.items()}, model.name
    )
    for name, variable in variables.items():
        variable.assign(weights[name])


def read_image(path: str | os.PathLike[str], input_shape: Sequence[int]) -> np.ndarray:
    """Reads an image file of any size as the model wants it.

    Args:
        path: a PNG, JPEG, BMP or GIF file.
        input_shape: (height, width, channels).

    Returns:
        uint8 (height, width, channels).

    Raises:
        UserError: the file is missing or is not such an image.
    """
    try:
        content = tf.constant(decode.read_bytes(path))
        with startup.quiet_stderr():
            return decode.decode(content, *input_shape).numpy()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except tf.errors.OpError:
        raise UserError(f"{path} is not a PNG, JPEG, BMP or GIF image.") from None


def run_dataset(run: RunDir) -> Dataset:
    """Loads the dataset that a run was trained on, with the same validation split.

    Raises:
        UserError: it is gone, or is not what it was.
        RunError: it cannot be read.
    """
    config = run.read_config()
    identity, data_dir = config["identity"], config.get("data_dir")
    if data_dir is not None and not pathlib.Path(data_dir).is_dir():
        raise UserError(f"The data directory {data_dir} of {run.path} is gone.")
    name = config["dataset_used"]
    source = load.open_dataset(name, default=name, data_dir=data_dir)
    dataset = source.read(
        image_size=tuple(config.get("image_size") or ()) or None,
        num_examples=identity["settings"]["num_examples"],
        seed=identity["seed"],
        memory_limit=memory.available() // 2,
        # A directory that only the run names is not written.
        read_only=data_dir is not None,
    )
    if not load.same_data(source, dataset.spec, identity["dataset_fingerprint"]):
        raise UserError(
            f"{name} is not what {run.path} was trained on: its files have changed "
            "since. Train again, with --overwrite."
        )
    if identity.get("validation") is None:
        return dataset
    return dataset.hold_out(identity["validation"], identity["seed"])


class Evaluator:
    """Scores a model as its ``evaluate`` does, and keeps the outputs of the same pass.

    Args:
        model: a compiled model on one device.
    """

    def __init__(self, model: TapeModel):
        self._model = model

        @tf.function(reduce_retracing=True, jit_compile=model.jit_compile or None)
        def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
            y_pred = model(x, training=False)
            loss = model._compute_loss(x=x, y=y, y_pred=y_pred, training=False)
            model._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
            model.compute_metrics(x, y, y_pred)
            return y_pred

        self._step = step

    def __call__(self, batches: tf.data.Dataset) -> tuple[dict[str, float], np.ndarray]:
        """Returns loss and metrics by name, and the outputs as ``outputs`` does."""
        self._model.reset_metrics()
        said = [self._step(x, y) for x, y in batches]
        scores = self._model.get_metrics_result()
        scores.pop("gradient_norm", None)  # there are no gradients here
        scores = {name: float(value) for name, value in scores.items()}
        return scores, _probabilities(self._model, tf.concat(said, axis=0))


def outputs(model: TapeModel, split: Split) -> np.ndarray:
    """Returns float32 probabilities (n, classes) for a split, or y (n, 1)."""
    said = model.predict(pipeline.evaluation_batches(split), verbose=0)
    return _probabilities(model, said)


def _probabilities(model: TapeModel, said: np.ndarray | tf.Tensor) -> np.ndarray:
    return np.asarray(said if model.num_classes is None else tf.nn.softmax(said))


def evaluate(run_dir: str | None, artifact_path: str | None) -> dict[str, float]:
    """Evaluates a run, or an artifact, on the whole test split of the run's dataset.

    Args:
        run_dir: a finished run; None for the one that the artifact lies in.
        artifact_path: a SavedModel or TFLite file; None for the run's own model.

    Returns:
        ``examples`` and ``accuracy``, or for a regression ``examples`` and
        ``mean_squared_error``.

    Raises:
        UserError: not a run, not an artifact, an artifact that lies in no run, or one
            that was changed since it was exported.
    """
    if artifact_path is None:
        trained = open_run(run_dir)
        test, said = trained.dataset.test, trained.outputs
    else:
        loaded, run = _open_artifact(run_dir, artifact_path)
        if run is None:
            raise UserError(
                f"{artifact_path} lies in no run directory. Pass --run_dir, the run "
                "whose test split it is to be evaluated on."
            )
        test = run_dataset(run).test
        said = np.concatenate([loaded(part) for part in test.blocks()])
    result = {"examples": len(test.y)}
    if test.y.ndim == 2:  # numbers, not classes
        return result | {"mean_squared_error": float(np.square(said - test.y).mean())}
    return result | {"accuracy": float((said.argmax(axis=1) == test.y).mean())}


def predict_images(
    run_dir: str | None, artifact_path: str | None, paths: Sequence[str]
) -> list[tuple[str, str, float]]:
    """Classifies image files with a run's model, or with an artifact.

    Args:
        run_dir: as for ``evaluate``.
        artifact_path: as for ``evaluate``; it may lie in no run.
        paths: PNG, JPEG, BMP or GIF files of any size.

    Returns:
        (path, class name, probability) for each file.

    Raises:
        UserError: the run or a file cannot be read, or the run is a regression.
    """
    loaded, run = None, None
    if artifact_path is not None:
        loaded, run = _open_artifact(run_dir, artifact_path)
    trained = open_run(run_dir) if loaded is None else run and TrainedRun(run)
    if trained is not None:
        data = trained.config["data"]
        input_shape, class_names = data["input_shape"], data["class_names"]
    else:
        input_shape, labels = loaded.input.shape[1:], loaded.path.parent / "labels.txt"
        class_names = [str(i) for i in range(loaded.output.shape[-1])]
        if labels.exists():
            class_names = labels.read_text(encoding="utf-8").splitlines()
    if len(input_shape) != 3:
        raise UserError("A regression does not take images.")
    batch = np.stack([read_image(path, input_shape) for path in paths])
    try:
        if loaded is None:
            said = trained.model.predict(batch, verbose=0)
            probabilities = _probabilities(trained.model, said)
        else:
            probabilities = loaded(batch)
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


def _open_artifact(
    run_dir: str | None, artifact_path: str
) -> tuple[Artifact, RunDir | None]:
    """Returns an artifact and the run that it belongs to, if there is one."""
    from zoo import artifact

    path, run = pathlib.Path(artifact_path), None
    if run_dir:
        run = finished_run(run_dir)
    else:
        with contextlib.suppress(OSError):  # a place that may not be looked into
            around = map(RunDir, path.resolve().parents)
            run = next((r for r in around if r.finished and r.config.exists()), None)
    if run is not None:
        with contextlib.suppress(OSError):  # it cannot be read, as load says below
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
