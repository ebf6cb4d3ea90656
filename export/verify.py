"""Verification: every file is run over test examples before it is published."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from export.formats import Bound, FileSpec
from zoo import registry, startup
from zoo.data.dataset import Split
from zoo.runs import artifact, scoring
from zoo.runs.run import Run

#: The latency is measured in so many runs, or fewer if they take too many seconds. The
#: first eleventh of the runs is for warming up.
LATENCY_RUNS, LATENCY_SECONDS = 220, 2.0
#: With fewer examples, a loss of accuracy may be chance. In the median of the zoo's
#: quantized files, 0.25% of the test examples are right in either the file or the Keras
#: model but not in both. At this number of examples, two standard errors of the
#: difference are then as large as the strictest bound, 0.1 points.
ENOUGH_EXAMPLES = 10_000
#: With fewer examples, the share that must get the same class as from the Keras model.
#: Otherwise a broken file, which gives many examples another class, would have a large
#: standard error to hide behind. The zoo's quantized files agree in 98.6% or more, and
#: those of a model that has barely learned in 93%.
LEAST_AGREEMENT = 0.9


def verify(
    run: Run, path: pathlib.Path, file: FileSpec
) -> tuple[dict[str, Any], list[str]]:
    """Runs a file over its test examples, with one thread and with all of them.

    Returns:
        Fields of the file's record in export.json, and a list of problems. Both are
        empty if the file is no model.
    """
    if file.bound is None:
        return {}, []
    loaded = artifact.load(path)
    test, reference = run.dataset.test, run.outputs
    size = file.examples or len(test.y)
    if size < len(test.y):
        # Evenly spaced, because the images of a folder are sorted by class.
        rows = np.linspace(0, len(test.y) - 1, size).astype(int)
        test, reference = Split(test.x[rows], test.y[rows]), reference[rows]
    record: dict[str, Any] = {
        "input": dataclasses.asdict(loaded.input),
        "output": dataclasses.asdict(loaded.output),
        "operations": list(loaded.operations),
        "tensor_dtypes": list(loaded.tensor_dtypes),
        "examples": len(test.y),
        "latency_ms": time_examples(loaded, test.x[:1]),
    }
    problems = _signature_problems(loaded, file, run)
    cores, takers = startup.cpus(), [loaded]
    if loaded.format == "tflite" and cores > 1:
        # First one interpreter per core, each with one thread; then all threads in one.
        takers = [artifact.load(path, workers=cores)]
        if file.threads:
            takers.append(artifact.load(path, threads=cores))
    labels = None if run.model.num_classes is None else test.y
    for ask in takers:
        outputs = np.concatenate([ask(part) for part in test.blocks()])
        measured = compare(outputs, reference, labels)
        problems += bound_problems(
            bound_of(run, file), outputs, reference, measured, labels
        )
        # The record holds the worse of the two results.
        for key, value in measured.items():
            worse = min if key in ("accuracy", "agreement") else max
            record[key] = worse(record.get(key, value), value)
    return record, list(dict.fromkeys(problems))


def bound_of(run: Run, file: FileSpec) -> Bound:
    """Returns the bounds of a file of a run; the architecture may set some of them."""
    if run.model.num_classes is None:
        return file.regression or Bound()
    identity = run.config["identity"]
    architecture = registry.get_architecture(identity["model"])
    own = architecture.bounds.get(identity["recipe"], {}).get(file.name, {})
    return dataclasses.replace(file.bound or Bound(), **own)


def compare(
    outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray | None
) -> dict[str, float]:
    """Compares a file's outputs with those of the Keras model.

    Returns:
        ``max_abs_error`` and, if there are labels, the other scores of an ``Artifact``.
    """
    error = float(np.abs(outputs - reference).max())
    if not np.isfinite(outputs).all():
        error = float("1e38")  # JSON has no infinity
    if labels is None:
        return {"max_abs_error": error}
    accuracy = float(scoring.correct(outputs, labels).mean())
    drop = 100 * (float(scoring.correct(reference, labels).mean()) - accuracy)
    return {
        "accuracy": accuracy,
        "accuracy_drop": round(drop, 6),
        "agreement": float(scoring.correct(outputs, reference.argmax(axis=1)).mean()),
        "max_abs_error": error,
    }


def sampling_error(
    outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray
) -> float:
    """Returns two standard errors of ``accuracy_drop``, in percentage points.

    If k examples are right in either the file or the Keras model but not in both, the
    standard error of their difference is the square root of k (McNemar 1947).
    """
    right, expected = (scoring.correct(each, labels) for each in (outputs, reference))
    return float(200 * np.sqrt(np.count_nonzero(right != expected)) / len(labels))


def bound_problems(
    bound: Bound,
    outputs: np.ndarray,
    reference: np.ndarray,
    measured: Mapping[str, float],
    labels: np.ndarray | None,
) -> list[str]:
    """Lists the bounds that a file's outputs exceed.

    ``measured`` is what ``compare`` found.
    """
    problems = []
    if not np.isfinite(outputs).all():
        problems.append("outputs that are not finite")
    drop = bound.accuracy_drop
    if drop is not None and labels is not None and len(labels) < ENOUGH_EXAMPLES:
        # Rounded like the accuracy_drop that was measured.
        drop = round(drop + sampling_error(outputs, reference, labels), 6)
        # One example may always differ.
        least = min(LEAST_AGREEMENT, (len(labels) - 1) / len(labels))
        if measured["agreement"] < least:
            problems.append(
                f"agreement is {measured['agreement']:.2%}, allowed {least:.2%} or more"
            )
    limits = {"max_abs_error": bound.max_abs_error, "accuracy_drop": drop}
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
    loaded: artifact.Artifact, file: FileSpec, run: Run
) -> list[str]:
    """Checks the file's names, dtypes, shapes, quantization and operations."""
    shape, width = run.config["data"]["input_shape"], run.model.num_classes or 1
    names = ("image", "probabilities") if run.model.num_classes else ("x", "y")
    input_dtype = output_dtype = "uint8" if file.integer else "float32"
    batch: int | None = 1
    if loaded.format == "saved_model":
        batch, input_dtype = None, "uint8" if run.model.num_classes else "float32"
    quantization = (1.0, 0) if file.integer else None
    expected = [
        artifact.Tensor(names[0], input_dtype, (batch, *shape), quantization),
        artifact.Tensor(
            names[1], output_dtype, (batch, width), loaded.output.quantization
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


def time_examples(loaded: artifact.Artifact, example: np.ndarray) -> dict[str, Any]:
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
