"""Proof: every artifact is run over the whole test split before it gets its name."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from export import signatures
from zoo import artifact, files
from zoo.data.dataset import Split


@dataclasses.dataclass(frozen=True)
class Bound:
    """What an artifact must reach against the Keras model.

    Attributes:
        max_abs_error: of any probability, or of y.
        same_top1: every example gets the same class, but for ties within that error.
        accuracy_drop: in points of test accuracy; or one example, where the test
            split is too small to tell so few points.
    """

    max_abs_error: float | None = None
    same_top1: bool = False
    accuracy_drop: float | None = None


BOUNDS = {
    "saved_model": Bound(max_abs_error=1e-4, same_top1=True),
    "float32": Bound(max_abs_error=1e-4, same_top1=True),
    "float16": Bound(max_abs_error=1e-2),
    "dynamic": Bound(accuracy_drop=0.1),
    "int16x8": Bound(accuracy_drop=0.1),
    "int8": Bound(accuracy_drop=0.3),
    "trainable": Bound(max_abs_error=1e-4, same_top1=True),
}
# A regression has no accuracy; its dynamic file is bound as its float16 one.
REGRESSION_BOUNDS = BOUNDS | {"dynamic": Bound(max_abs_error=1e-2)}

LATENCY_RUNS = 200
LATENCY_WARM_UP = 20


def verify(
    name: str,
    path: pathlib.Path,
    root: pathlib.Path,
    data: Mapping[str, Any],
    test: Split,
    reference: np.ndarray,
) -> tuple[dict[str, Any], list[str]]:
    """Runs an artifact over the test split, with one thread and with all.

    Args:
        name: a key of ``BOUNDS``.
        path: the file, or the SavedModel's directory.
        root: the export directory, for the path in the record.
        data: the run's data, as config.json describes them.
        test: the whole test split.
        reference: float32 outputs of the Keras model for it (n, classes) or (n, 1).

    Returns:
        The record for export.json, and what is wrong with the artifact, if anything.
    """
    loaded = artifact.load(path, threads=1)
    record: dict[str, Any] = {
        "name": name,
        "path": path.relative_to(root).as_posix(),
        "format": loaded.format,
        "bytes": files.size(path),
        "sha256": files.checksum(path),
        "input": dataclasses.asdict(loaded.input),
        "output": dataclasses.asdict(loaded.output),
        "operations": list(loaded.operations),
        "tensor_dtypes": list(loaded.tensor_dtypes),
    }
    record["latency_ms"] = _latency(loaded, test.x[:1])
    cores = os.cpu_count() or 1
    settings = [{"threads": 1, "workers": cores}]
    # The file that keeps learning packs its weights for every example: minutes more.
    if loaded.format == "tflite" and name != "trainable":
        # The kernels of int16x8 run on one thread whatever they are given.
        workers = cores if name == "int16x8" else 1
        settings.append({"threads": cores, "workers": workers})
    problems = _contract_problems(name, loaded, data)
    for setting in settings:
        ask = artifact.load(path, **setting)
        outputs = np.concatenate([ask(part) for part in test.blocks()])
        measured = compare(outputs, reference, test.y, data)
        problems += _bound_problems(name, outputs, reference, measured, data)
        # The record holds the worse of the two.
        for key, value in measured.items():
            worse = min if key in ("accuracy", "agreement") else max
            record[key] = worse(record.get(key, value), value)
    record["verified"] = not problems
    return record, list(dict.fromkeys(problems))


def compare(
    outputs: np.ndarray,
    reference: np.ndarray,
    labels: np.ndarray,
    data: Mapping[str, Any],
) -> dict[str, float]:
    """Compares outputs with the Keras model's: accuracy, drop, agreement, error."""
    error = float(np.abs(outputs - reference).max())
    if not np.isfinite(outputs).all():
        error = float("1e38")  # JSON has no infinity
    if not signatures.is_classifier(data):
        return {"max_abs_error": error}
    chosen, expected = outputs.argmax(axis=1), reference.argmax(axis=1)
    accuracy = float((chosen == labels).mean())
    drop = 100 * (float((expected == labels).mean()) - accuracy)
    return {
        "accuracy": accuracy,
        "accuracy_drop": round(drop, 6),
        "agreement": float((chosen == expected).mean()),
        "max_abs_error": error,
    }


def _bound_problems(
    name: str,
    outputs: np.ndarray,
    reference: np.ndarray,
    measured: Mapping[str, float],
    data: Mapping[str, Any],
) -> list[str]:
    bounds = BOUNDS if signatures.is_classifier(data) else REGRESSION_BOUNDS
    bound = bounds[name]
    problems = []
    if not np.isfinite(outputs).all():
        problems.append("outputs that are not finite")
    limits = {"max_abs_error": bound.max_abs_error}
    if bound.accuracy_drop is not None and signatures.is_classifier(data):
        limits["accuracy_drop"] = max(bound.accuracy_drop, 100 / len(outputs) + 1e-6)
    for key, limit in limits.items():
        if limit is not None and measured[key] > limit:
            problems.append(f"{key} is {measured[key]:.3g}, allowed {limit:.3g}")
    if bound.same_top1 and signatures.is_classifier(data):
        rows = np.arange(len(outputs))
        chosen, best = outputs.argmax(axis=1), reference.max(axis=1)
        wrong = best - reference[rows, chosen] > bound.max_abs_error
        if wrong.any():
            problems.append(f"{wrong.sum()} examples get another class")
    return problems


def _contract_problems(
    name: str, loaded: artifact.Artifact, data: Mapping[str, Any]
) -> list[str]:
    """Checks names, dtypes, shapes, quantization and operations in the file."""
    input_name, output_name = signatures.names(data)
    tflite = loaded.format == "tflite"
    classifier = signatures.is_classifier(data)
    batch = 1 if tflite else None
    integer = name == "int8"
    input_dtype = "uint8" if classifier and (integer or not tflite) else "float32"
    width = data["num_classes"] if classifier else 1
    expected = {
        "input name": (loaded.input.name, input_name),
        "input dtype": (loaded.input.dtype, input_dtype),
        "input shape": (loaded.input.shape, (batch, *data["input_shape"])),
        "output name": (loaded.output.name, output_name),
        "output dtype": (loaded.output.dtype, "uint8" if integer else "float32"),
        "output shape": (loaded.output.shape, (batch, width)),
        "input quantization": (
            loaded.input.quantization,
            (1.0, 0) if integer else None,
        ),
    }
    problems = [
        f"{what} is {got}, expected {wanted}"
        for what, (got, wanted) in expected.items()
        if got != wanted
    ]
    if flex := [op for op in loaded.operations if op.startswith("Flex")]:
        problems.append(f"operations that are not built in: {', '.join(flex)}")
    if integer and (floats := [d for d in loaded.tensor_dtypes if "float" in d]):
        problems.append(f"it has {', '.join(floats)} tensors")
    return problems


def _latency(loaded: artifact.Artifact, example: np.ndarray) -> dict[str, Any]:
    """Times single examples at one thread."""
    milliseconds = []
    for i in range(LATENCY_WARM_UP + LATENCY_RUNS):
        start = time.perf_counter()
        loaded(example)
        if i >= LATENCY_WARM_UP:
            milliseconds.append(1000 * (time.perf_counter() - start))
    median, p95 = np.percentile(milliseconds, [50, 95])
    return {
        "median": round(float(median), 4),
        "p95": round(float(p95), 4),
        "threads": 1,
    }
