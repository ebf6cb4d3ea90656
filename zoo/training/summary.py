"""What a run says at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.console import align
from zoo.training.outcome import TrainedRun


def summary(trained: TrainedRun) -> str:
    """Returns the short table that ends a training."""
    result = trained.result
    rows = [("model", f"{result['model']}, recipe {result['recipe']}")]
    rows += [("dataset", _dataset(result))]
    if "learned" in result:
        rows += [
            ("", "weight    bias"),
            ("learned", _line(result["learned"])),
            ("true", _line(result["true"])),
            ("least squares", _line(result["least_squares"])),
            ("test loss", f"{result['test']['loss']:.4f}"),
        ]
    else:
        rows += [("test accuracy", f"{100 * result['test']['accuracy']:.2f}%")]
    rows += [
        ("parameters", f"{result['num_params']:,}"),
        ("devices", _devices(result.get("strategy"))),
        ("training", f"{result['train_seconds']:.1f} s, {result['steps']:,} steps"),
        ("examples/s", f"{result['examples_per_second']:,}"),
        ("run directory", f"{trained.run.path}"),
    ]
    if trained.done_before:
        rows.insert(0, ("done before", "nothing to do; --overwrite trains again"))
    return "\n".join(align(rows))


def _dataset(result: Mapping[str, Any]) -> str:
    counts = f"{result['num_train_examples']:,} / {result['num_test_examples']:,}"
    text = f"{result['dataset']} ({counts} examples)"
    if result["dataset"] != result["dataset_requested"]:
        text += f" instead of {result['dataset_requested']}"
    return text


def _devices(strategy: Any) -> str:
    # A run of an older version has none.
    if not isinstance(strategy, Mapping):
        return "one"
    replicas, workers = strategy.get("replicas"), strategy.get("workers")
    if replicas == 1:
        return str(strategy.get("name"))
    return f"{strategy.get('name')}, {replicas} replicas on {workers} worker(s)"


def _line(values: Mapping[str, float]) -> str:
    return f"{values['weight']:.4f}  {values['bias']:.4f}"
