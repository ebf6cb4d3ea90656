"""Runs that the tests of the export share. Do not change their directories."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import export
from export import records as export_records
from export import verify
from zoo.records.rundir import RunDir
from zoo.runs.run import Run
from zoo.training import trainer
from zoo.training.config import Config

EXPORTED = ("saved_model", "tflite")
FILES = ("float32", "float16", "dynamic", "int8")
# Deep networks without weights learn digits in 350 small steps, which their moving
# statistics need, too.
PHOTOGRAPHS = {
    "image_size": (32, 32),
    "weights": "none",
    "epochs": 8,
    "overrides": {"augment": {}, "batch_size": 32, "learning_rate": 0.02},
}
#: Fields of trainings that differ from the others.
OF_MODEL = {
    "efficientnet_lite": PHOTOGRAPHS,
    "mobilenet_v2": {**PHOTOGRAPHS, "recipe": "small"},
    "resnet": {"recipe": "tiny"},
}


@pytest.fixture(scope="session", autouse=True)
def _measure_less():
    """Measures the latency with fewer examples than a real export does."""
    verify.LATENCY_RUNS = 11


@pytest.fixture(scope="session")
def train(tmp_path_factory, data_dir):
    """Trains for one epoch; returns the finished run."""

    def train(model, dataset="digits", *, epochs=1, **options):
        path = tmp_path_factory.mktemp("runs") / model
        places = {"data_dir": str(data_dir), "run_dir": str(path)}
        options["overrides"] = {"epochs": epochs} | options.get("overrides", {})
        return trainer.train(Config(model=model, dataset=dataset, **places, **options))

    return train


@pytest.fixture(scope="session")
def runs(train):
    """Exported runs of all models on digits, made on demand.

    The one of mlp has all files, except for the page.
    """
    made = {}

    def run(name):
        if name not in made:
            made[name] = train(name, **OF_MODEL.get(name, {}))
            if name == "mlp":
                export.export_run(made[name], [*EXPORTED, "tflite_trainable"])
            else:
                files = ",".join(FILES)
                export.export_run(made[name], EXPORTED, tflite_files=files, plots=False)
        return made[name]

    return run


@pytest.fixture(scope="session")
def regression(train):
    """A finished run of linear on linear_regression."""
    return train("linear", "linear_regression")


@pytest.fixture(scope="session")
def _small(train):
    """An mlp for 12x12 images with one exported file."""
    trained = train("mlp", image_size=(12, 12))
    export.export_run(trained, ["tflite"], tflite_files="float32", plots=False)
    return trained


def copied(trained, path):
    """Returns a copy of a run in another directory, which tests may change."""
    made = {name: getattr(trained, name) for name in ("dataset", "model", "outputs")}
    return Run(RunDir(shutil.copytree(trained.run.path, path)), **made)


@pytest.fixture
def small(_small, tmp_path):
    """A copy of a run of an mlp for 12x12 images, exported to one file."""
    return copied(_small, tmp_path / "small")


@pytest.fixture
def copy(runs, tmp_path):
    """A copy of the exported mlp run, which tests may change."""
    return copied(runs("mlp"), tmp_path / "run")


def records(trained):
    """Returns the records of export.json by name."""
    content = export_records.read(trained.run.export)
    return {artifact.name: artifact for artifact in content.artifacts}


def changed(format, name, **fields):
    """Returns a format with another file of this name, for ``FORMATS``."""
    files = [
        dataclasses.replace(file, **fields) if file.name == name else file
        for file in export.FORMATS[format].files
    ]
    return dataclasses.replace(export.FORMATS[format], files=tuple(files))


def ask(path, images):
    """Runs a TFLite file in LiteRT; returns the outputs and the interpreter."""
    runtime = Interpreter(str(path), num_threads=1)
    runtime.allocate_tensors()
    (taken,), (given,) = runtime.get_input_details(), runtime.get_output_details()
    outputs = []
    for image in images:
        runtime.set_tensor(taken["index"], image[np.newaxis].astype(taken["dtype"]))
        runtime.invoke()
        outputs.append(runtime.get_tensor(given["index"])[0].astype(np.float32))
    scale, zero_point = given["quantization"]
    return (np.stack(outputs) - zero_point) * (scale or 1.0), runtime


def run_code(card, folder):
    """Runs the Python code of a model card; returns its output."""
    code = "".join(re.findall(r"```python\n(.*?)```", card, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def snapshot(run_dir):
    return {
        str(path.relative_to(run_dir)): path.stat().st_mtime_ns
        for path in run_dir.rglob("*")
        if path.name != ".lock" and path.is_file()
    }
