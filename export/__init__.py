"""Exports trained models to servers, phones and browsers, and verifies each file.

import export

export.export_run("runs/convnet-mnist", ["saved_model", "tflite"])
export.export_weights("mlp/mnist", "runs/mlp", ["tflite"])
classify = export.load("runs/convnet-mnist/export/tflite/model_int8.tflite")
probabilities = classify(images)        # uint8 (n, height, width, channels)
"""

from __future__ import annotations

import importlib
from typing import Any

from export.formats import DEFAULT_FORMATS, FORMATS, check_request, parse_formats
from zoo import startup

__all__ = ["DEFAULT_FORMATS", "FORMATS", "check_request", "parse_formats"]

# Functions that need TensorFlow or LiteRT are imported when they are first used.
_LATER = {
    "export_run": "export.exporter",
    "export_weights": "export.exporter",
    "load": "zoo.runs.artifact",
    "Learner": "export.ondevice.learner",
}


def __getattr__(name: str) -> Any:
    """Imports a name of ``_LATER``."""
    if name not in _LATER:
        raise AttributeError(f"module 'export' has no attribute {name!r}")
    if _LATER[name] == "export.exporter":  # the others only need LiteRT
        startup.start_for_api()
    return getattr(importlib.import_module(_LATER[name]), name)
