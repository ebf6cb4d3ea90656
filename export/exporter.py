"""One export from a finished run to a proved directory, all or nothing."""

from __future__ import annotations

import contextlib
import inspect
import os
import pathlib
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export import card, contract, saved_model, tflite, verify
from zoo import evaluation, files, runtime
from zoo.data.spec import Dataset
from zoo.errors import RunError, UserError
from zoo.models.tape import TapeModel
from zoo.rundir import RunDir, finished_run, read_json

SERVING_VERSION = "1"


def export_run(
    run_dir: str | os.PathLike[str],
    formats: Sequence[str],
    *,
    dataset: Dataset | None = None,
) -> dict[str, Any]:
    """Writes R/export: artifacts, export.json and the model card.

    Formats of an earlier export of the same weights that are not asked for stay.

    Args:
        run_dir: a finished run, R.
        formats: names of ``export.FORMATS``.
        dataset: the run's own, if the caller has it in memory.

    Returns:
        The content of export.json.

    Raises:
        UserError: not a finished run, a damaged model.keras, a target that cannot
            be written.
        RunError: an artifact does not reach its bounds; nothing has been replaced.
    """
    run = finished_run(run_dir)
    run.lock()
    try:
        config = read_json(run.config)
        model = evaluation.load_run(run_dir)
        dataset = dataset or evaluation.run_dataset(run)
        reference = _reference(model, dataset)
        with _replacing(run.export) as directory, runtime.quiet_stderr():
            weights = files.sha256(run.model)
            records = _carry_over(run, directory, formats, weights)
            for name, path, extra in _write(model, config, dataset, directory, formats):
                record, problems = verify.verify(
                    name, path, directory, config["data"], dataset.test, reference
                )
                if problems:
                    raise RunError(
                        f"The export of {run.path} failed its proof: {path.name}: "
                        f"{'; '.join(problems)}. Nothing was exported."
                    )
                records.append(record | extra)
                if sys.stdout.isatty():
                    print(f"verified {record['path']}", flush=True)
            content = {
                "model": config["identity"]["model"],
                "model_sha256": weights,
                "description": _description(model),
                "data": config["data"],
                "per_class": _per_class(reference, dataset),
                "left_out": _left_out(config["data"], formats),
                "artifacts": records,
            }
            files.write_json(directory / "export.json", content)
            text = card.text(read_json(run.result), content)
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
        path.mkdir()
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


def _reference(model: TapeModel, dataset: Dataset) -> np.ndarray:
    x = dataset.test.x
    parts = np.array_split(x, -(-len(x) // 500))
    return np.concatenate(
        [contract.reference(model, tf.constant(part)).numpy() for part in parts]
    )


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
) -> list[dict[str, Any]]:
    """Copies what an earlier export of the same weights holds in other formats."""
    if not (run.export / "export.json").exists():
        return []
    earlier = read_json(run.export / "export.json")
    if earlier.get("model_sha256") != weights:
        return []
    records = []
    for folder in ("saved_model", "tflite"):
        if folder not in formats and (run.export / folder).is_dir():
            shutil.copytree(run.export / folder, directory / folder)
            records += [
                record
                for record in earlier["artifacts"]
                if record["path"].startswith(f"{folder}/")
            ]
    return records


@contextlib.contextmanager
def _replacing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a directory beside ``target`` that takes its place at the end."""
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    old = beside.with_suffix(".old")
    try:
        beside.mkdir()
        yield beside
        if target.exists():
            target.rename(old)
        beside.rename(target)
    except OSError as error:
        raise UserError(
            f"The export cannot be written to {target}: {error.strerror or error}."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
