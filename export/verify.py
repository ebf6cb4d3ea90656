"""Verification: every file is run over test examples before it is published."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.base import Bound, Draft, ExportedFile
from zoo import files, startup
from zoo.data.dataset import Split
from zoo.runs import artifact

#: The latency is measured in so many runs, or fewer if they take too many seconds. The
#: first eleventh of the runs is for warming up.
LATENCY_RUNS, LATENCY_SECONDS = 220, 2.0


def verify(draft: Draft, file: ExportedFile) -> tuple[dict[str, Any], list[str]]:
    """Runs a file over its test examples, with one thread and with all of them.

    Returns:
        The file's record for export.json, and a list of problems.
    """
    path = draft.directory / file.path
    loaded = artifact.load(path)
    record: dict[str, Any] = {
        "name": file.name,
        "path": file.path,
        "format": loaded.format,
        "bytes": files.size(path),
        "sha256": files.checksum(path),
        "input": dataclasses.asdict(loaded.input),
        "output": dataclasses.asdict(loaded.output),
        "operations": list(loaded.operations),
        "tensor_dtypes": list(loaded.tensor_dtypes),
        "calibration": None,
    }
    test, reference = draft.trained.dataset.test, draft.trained.outputs
    size = file.examples or len(test.y)
    is_sample = size < len(test.y)
    if is_sample:
        # Evenly spaced, because the images of a folder are sorted by class.
        rows = np.linspace(0, len(test.y) - 1, size).astype(int)
        test, reference = Split(test.x[rows], test.y[rows]), reference[rows]
    record["examples"] = len(test.y)
    record["latency_ms"] = _time_examples(loaded, test.x[:1])
    problems = _signature_problems(loaded, file, draft)
    bound = draft.bound(file)
    assert bound, "files without bounds are not written"
    cores, takers = startup.cpus(), [loaded]
    if loaded.format == "tflite" and cores > 1:
        # First one interpreter per core, each with one thread; then all threads in one.
        takers = [artifact.load(path, workers=cores)]
        if file.threads:
            workers = 1 if file.parallel else cores
            takers.append(artifact.load(path, threads=cores, workers=workers))
    for ask in takers:
        outputs = np.concatenate([ask(part) for part in test.blocks()])
        measured = compare(outputs, reference, test.y if draft.is_classifier else None)
        spare = draft.spare
        if is_sample:
            spare += sampling_error(outputs, reference, test.y)
        problems += bound_problems(bound, outputs, reference, measured, spare)
        # The record holds the worse of the two results.
        for key, value in measured.items():
            worse = min if key in ("accuracy", "agreement") else max
            record[key] = worse(record.get(key, value), value)
    record["verified"] = not problems
    return record, list(dict.fromkeys(problems))


def compare(
    outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray | None
) -> dict[str, float]:
    """Compares a file's outputs with those of the Keras model.

    Args:
        outputs: probabilities (n, classes) or y (n, 1) of the file.
        reference: outputs of the Keras model.
        labels: true classes (n,); None for a regression.

    Returns:
        ``max_abs_error``; for classes also ``accuracy``, 0 to 1, ``accuracy_drop`` in
        percentage points, and ``agreement``, the share of examples with the same class.
    """
    error = float(np.abs(outputs - reference).max())
    if not np.isfinite(outputs).all():
        error = float("1e38")  # JSON has no infinity
    if labels is None:
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


def sampling_error(
    outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray
) -> int:
    """Returns how many examples a file may lose by chance on a sample of a test split.

    If k examples are right in either the file or the Keras model but not in both, the
    standard error of their difference is the square root of k (McNemar 1947). It
    returns two standard errors.

    Args:
        outputs: probabilities (n, classes) of the file.
        reference: probabilities of the Keras model.
        labels: true classes (n,).
    """
    right, expected = (each.argmax(axis=1) == labels for each in (outputs, reference))
    return int(2 * np.sqrt(np.count_nonzero(right != expected)))


def bound_problems(
    bound: Bound,
    outputs: np.ndarray,
    reference: np.ndarray,
    measured: Mapping[str, float],
    spare: int = 1,
) -> list[str]:
    """Lists the bounds that a file's outputs exceed.

    Args:
        bound: the bounds.
        outputs: probabilities (n, classes) or y (n, 1) of the file.
        reference: outputs of the Keras model.
        measured: result of ``compare`` for these outputs.
        spare: number of examples that may be lost if there are too few to measure the
            bound.
    """
    problems = []
    if not np.isfinite(outputs).all():
        problems.append("outputs that are not finite")
    limits = {"max_abs_error": bound.max_abs_error}
    if bound.accuracy_drop is not None:
        least = 100 * spare / len(outputs) + 1e-6
        limits["accuracy_drop"] = max(bound.accuracy_drop, least)
    for key, limit in limits.items():
        if limit is not None and measured[key] > limit:
            problems.append(f"{key} is {measured[key]:.3g}, allowed {limit:.3g}")
    if bound.same_top1 and "accuracy" in measured:
        rows = np.arange(len(outputs))
        chosen, best = outputs.argmax(axis=1), reference.max(axis=1)
        wrong = best - reference[rows, chosen] > bound.max_abs_error
        if wrong.any():
            problems.append(f"{wrong.sum()} examples get another class")
    return problems


def _signature_problems(
    loaded: artifact.Artifact, file: ExportedFile, draft: Draft
) -> list[str]:
    """Checks the file's names, dtypes, shapes, quantization and operations."""
    input_name, output_name = draft.tensor_names
    input_dtype = output_dtype = "uint8" if file.integer else "float32"
    batch: int | None = 1
    width = draft.data["num_classes"] or 1
    if loaded.format == "saved_model":
        batch, input_dtype = None, "uint8" if draft.is_classifier else "float32"
    expected = [
        artifact.Tensor(
            input_name,
            input_dtype,
            (batch, *draft.data["input_shape"]),
            (1.0, 0) if file.integer else None,
        ),
        artifact.Tensor(
            output_name, output_dtype, (batch, width), loaded.output.quantization
        ),
    ]
    problems = [
        f"it has {got}, expected {wanted}"
        for got, wanted in zip((loaded.input, loaded.output), expected, strict=True)
        if got != wanted
    ]
    if flex := [op for op in loaded.operations if op.startswith("Flex")]:
        problems.append(f"operations that are not built in: {', '.join(flex)}")
    floats = [dtype for dtype in loaded.tensor_dtypes if "float" in dtype]
    if file.integer and floats:
        problems.append(f"it has {', '.join(floats)} tensors")
    return problems


def _time_examples(loaded: artifact.Artifact, example: np.ndarray) -> dict[str, Any]:
    """Measures the latency of single examples on one thread."""
    milliseconds: list[float] = []
    began = time.perf_counter()
    while len(milliseconds) < LATENCY_RUNS:
        start = time.perf_counter()
        if start - began > LATENCY_SECONDS:
            break
        loaded(example)
        milliseconds.append(1000 * (time.perf_counter() - start))
    measured = milliseconds[len(milliseconds) // 11 :]
    median, p95 = np.percentile(measured, [50, 95]).round(4)
    return {"median": float(median), "p95": float(p95), "threads": 1}
