"""One export from a finished run to a proved directory, all or nothing."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export import (
    card,
    saved_model,
    signatures,
    tflite,
    tflite_trainable,
    verify,
    verify_training,
    web,
)
from export.formats import (
    FORMATS,
    check_device_options,
    check_node,
    parse_formats,
)
from zoo import evaluation, files, startup
from zoo.data.dataset import Dataset
from zoo.errors import RunError, UserError
from zoo.models.base import TapeModel
from zoo.plots.draw import draw_run
from zoo.training.outcome import TrainedRun
from zoo.training.rundir import RunDir, finished_run

SERVING_VERSION = "1"


def export_run(
    run_dir: str | os.PathLike[str],
    formats: Sequence[str],
    *,
    dataset: Dataset | None = None,
    train_batch: int | None = None,
    device_optimizer: str | None = None,
    plots: bool = True,
) -> dict[str, Any]:
    """Writes R/export: artifacts, export.json and the model card.

    Formats of an earlier export of the same weights that are not asked for stay.

    Args:
        run_dir: a finished run, R.
        formats: names of ``export.FORMATS``.
        dataset: the run's own, if the caller has it in memory.
        train_batch: examples of a step of ``tflite_trainable``, 1 to 1024; None for
            16.
        device_optimizer: of ``tflite_trainable``, ``sgd`` or ``momentum``; None for
            ``sgd``.
        plots: draw pictures, of the run where they are missing, for the model card.

    Returns:
        The content of export.json.

    Raises:
        UserError: not a finished run, a damaged model.keras, a target that cannot
            be written, a format that is not for such a run.
        RunError: an artifact does not reach its bounds; nothing has been replaced.
    """
    formats = parse_formats(",".join(formats))
    if not formats:
        raise UserError(f"No export format was named. Known: {', '.join(FORMATS)}.")
    device = check_device_options(formats, train_batch, device_optimizer)
    check_node(formats)
    run = finished_run(run_dir)
    run.lock()
    try:
        config = run.read_config()
        model = evaluation.load_run(run_dir)
        _check_formats_are_for(run, model, formats)
        dataset = dataset or evaluation.run_dataset(run)
        reference = _reference(model, dataset)
        _check_is_of(run, model, reference, dataset)
        with (
            _write_errors(run.export),
            _replacing(run.export) as directory,
            startup.quiet_stderr(),
        ):
            weights = files.sha256(run.model)
            records, left_out, page = _carry_over(run, directory, formats, weights)
            if "web" in formats and not any(r["name"] == "int8" for r in records):
                formats = parse_formats(",".join(("tflite", *formats)))
            for name, path, extra in _write(
                model, config, dataset, directory, formats, device
            ):
                record, problems = verify.verify(
                    name, path, directory, config["data"], dataset.test, reference
                )
                if name == "trainable" and not problems:
                    extra["training"], problems = verify_training.verify(
                        model,
                        path,
                        dataset.train,
                        dataset.test,
                        device_optimizer=device[1],
                        seed=config["identity"]["seed"],
                    )
                if problems:
                    raise RunError(
                        f"The export of {run.path} failed its proof: {path.name}: "
                        f"{'; '.join(problems)}. Nothing was exported."
                    )
                records.append(record | extra)
                if sys.stdout.isatty():
                    print(f"verified {record['path']}", flush=True)
            if (directory / "tflite").exists():
                tflite.write_labels(config["data"], directory / "tflite")
            if "web" in formats:
                page = web.write(
                    directory,
                    model.name,
                    config["data"],
                    records,
                    dataset.test,
                    reference,
                )
            content = {
                "model": config["identity"]["model"],
                "model_sha256": weights,
                "description": _description(model),
                "data": config["data"],
                "per_class": _per_class(reference, dataset),
                "left_out": left_out | _left_out(config["data"], formats),
                "artifacts": sorted(records, key=lambda r: FORMATS.index(r["format"])),
                "page": page,
            }
            files.write_json(directory / "export.json", content)
            pictures = []
            if plots:
                pictures = _draw(run, model, dataset, reference, content, directory)
            text = card.text(run.read_result(), content, pictures)
            files.write_bytes(directory / "README.md", text.encode())
        return content
    finally:
        run.unlock()


def _write(
    model: TapeModel,
    config: Mapping[str, Any],
    dataset: Dataset,
    directory: pathlib.Path,
    formats: Sequence[str],
    device: tuple[int, str],
) -> Iterator[tuple[str, pathlib.Path, dict[str, Any]]]:
    """Writes the formats one by one; yields each artifact's name, path and extras."""
    data = config["data"]
    if "saved_model" in formats:
        path = directory / "saved_model" / SERVING_VERSION
        path.parent.mkdir()
        saved_model.write(model, data, path)
        yield "saved_model", path, {"calibration": None}
    if "tflite" in formats:
        seed = config["identity"]["seed"]
        calibration = tflite.calibration_inputs(dataset.train, seed)
        path = directory / "tflite"
        path.mkdir(exist_ok=True)
        tflite.write(model, data, path, calibration)
        for variant in tflite.variants(data):
            extra = {"calibration": None}
            if variant in ("int8", "int16x8"):
                extra["calibration"] = {
                    "split": "train",
                    "examples": len(calibration),
                    "seed": seed,
                }
            yield variant, path / f"model_{variant}.tflite", extra
    if "tflite_trainable" in formats:
        path = directory / "tflite" / "model_trainable.tflite"
        path.parent.mkdir(exist_ok=True)
        train_batch, device_optimizer = device
        tflite_trainable.write(
            model,
            data,
            path,
            train_batch=train_batch,
            device_optimizer=device_optimizer,
        )
        yield "trainable", path, {"calibration": None, "format": "tflite_trainable"}


def _draw(
    run: RunDir,
    model: TapeModel,
    dataset: Dataset,
    reference: np.ndarray,
    content: Mapping[str, Any],
    directory: pathlib.Path,
) -> list[str]:
    """Draws what is missing in R/plots; puts all of it beside the model card.

    Returns:
        The names of the pictures, as in ``zoo.plots.draw.TITLES``.
    """
    trained = TrainedRun(run, dataset=dataset, model=model, outputs=reference)
    drawn = draw_run(trained, content["artifacts"])
    (directory / "plots").mkdir()
    for path in drawn:
        shutil.copy2(path, directory / "plots")
    return [path.stem for path in drawn]


def _check_formats_are_for(
    run: RunDir, model: TapeModel, formats: Sequence[str]
) -> None:
    kind = "a regression" if model.num_classes is None else model.compute_dtype
    if "tflite_trainable" in formats and kind != "float32":
        raise UserError(
            "tflite_trainable is for classifiers that compute in float32. Received: "
            f"{run.path}, {kind}. Leave it out of --formats."
        )
    if "web" in formats and model.num_classes is None:
        raise UserError(
            f"web is a page for classifiers of images. Received: {run.path}, {kind}. "
            "Leave it out of --formats."
        )


def _reference(model: TapeModel, dataset: Dataset) -> np.ndarray:
    return np.concatenate(
        [
            signatures.reference(model, tf.constant(part)).numpy()
            for part in dataset.test.blocks()
        ]
    )


def _check_is_of(
    run: RunDir, model: TapeModel, reference: np.ndarray, dataset: Dataset
) -> None:
    """Raises UserError unless model.keras is the one that result.json describes."""
    result = run.read_result()
    accuracy = result["test"].get("accuracy")
    right = reference.argmax(axis=1) == dataset.test.y.reshape(-1)
    # In other batches a tie may fall the other way.
    close = accuracy is None or abs(accuracy - right.mean()) <= 2 / len(right)
    if model.name != result["model"] or not close:
        raise UserError(f"{run.model} is not the model that {run.result} is about.")


def _per_class(reference: np.ndarray, dataset: Dataset) -> list[tuple[str, int, int]]:
    """Returns (class, right, all) for each class with test examples."""
    if dataset.spec.num_classes is None:
        return []
    right = reference.argmax(axis=1) == dataset.test.y
    rows = []
    for index, name in enumerate(dataset.spec.class_names):
        members = dataset.test.y == index
        if members.any():
            rows.append((name, int(right[members].sum()), int(members.sum())))
    return rows


def _description(model: TapeModel) -> str:
    return inspect.getdoc(type(model)).splitlines()[0]


def _left_out(data: Mapping[str, Any], formats: Sequence[str]) -> dict[str, str]:
    if "tflite" not in formats:
        return {}
    absent = set(tflite.PURPOSES) - set(tflite.variants(data))
    reason = "a regression has no pixels to calibrate on"
    return {f"model_{name}.tflite": reason for name in sorted(absent)}


def _carry_over(
    run: RunDir, directory: pathlib.Path, formats: Sequence[str], weights: str
) -> tuple[list[dict[str, Any]], dict[str, str], dict[str, Any] | None]:
    """Copies what an earlier export of the same weights holds in other formats.

    Returns:
        The records of what was copied, what that export left out, and the record of
        its page.

    Raises:
        UserError: a file is gone or is not what it was.
    """
    earlier = run.read_export()
    if earlier is None or earlier["model_sha256"] != weights:
        return [], {}, None
    records = [
        record
        for record in earlier["artifacts"]
        if record["format"] in FORMATS and record["format"] not in formats
    ]
    page = earlier.get("page") if "web" not in formats else None
    for record in [*records, *([page] if page else [])]:
        path, place = run.export / record["path"], directory / record["path"]
        inside = place.resolve().is_relative_to(directory.resolve())
        if not inside or not path.exists() or files.checksum(path) != record["sha256"]:
            raise UserError(
                f"{path} is not what was exported. Name its format too, with "
                f"--formats={','.join((*formats, record['format']))}, to write it anew."
            )
        place.parent.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, place)
        else:
            shutil.copy2(path, place)
    left_out = earlier["left_out"] if "tflite" not in formats else {}
    return records, left_out, page


@contextlib.contextmanager
def _replacing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory beside ``target`` that takes its place at the end.

    Only one process at a time: what an earlier one left when it was killed is put
    back or removed first.
    """
    beside, old = (target.with_name(f".{target.name}.{n}") for n in ("new", "old"))
    if old.exists() and not target.exists():
        old.rename(target)
    if target.exists() and not target.is_dir():
        raise UserError(f"The export cannot be written: {target} is not a directory.")
    for leftover in (beside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        beside.mkdir()
        yield beside
        if target.exists():
            target.rename(old)
        try:
            beside.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _write_errors(target: pathlib.Path) -> Iterator[None]:
    """Makes what the file system refuses an error of one line."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow says: operation, path; reason [operation].
        said = str(error).splitlines()[0].split("; ")[-1].split(" [Op:")[0]
        reason = getattr(error, "strerror", None) or said
        message = f"The export to {target} failed: {reason}. {target} is as it was."
        denied = isinstance(error, PermissionError) or (
            isinstance(error, OSError) and error.errno == errno.EROFS
        )
        raise (UserError if denied else RunError)(message) from error
