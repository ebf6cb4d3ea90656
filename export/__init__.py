"""Trained runs as files for servers, phones and browsers, each one proved.

import export

export.export_run("runs/convnet-mnist", ["saved_model", "tflite"])
classify = export.load("runs/convnet-mnist/export/tflite/model_int8.tflite")
probabilities = classify(images)        # uint8 (n, height, width, channels)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from export.formats import DEFAULT_FORMATS, FORMATS, check_node, parse_formats

if TYPE_CHECKING:
    from zoo.artifact import Artifact
    from zoo.training.outcome import TrainedRun

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "check_node",
    "export_run",
    "load",
    "parse_formats",
]


def export_run(
    run: str | os.PathLike[str] | TrainedRun,
    formats: Sequence[str] = DEFAULT_FORMATS,
    **options: Any,
) -> dict[str, Any]:
    """Exports a finished run; see ``export.exporter.export_run``."""
    from export import exporter

    return exporter.export_run(run, formats, **options)


def load(path: str | os.PathLike[str], **options: Any) -> Artifact:
    """Loads an exported file in its runtime; see ``zoo.artifact.load``."""
    from zoo import artifact

    return artifact.load(path, **options)
