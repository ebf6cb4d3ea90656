"""Runs that the tests of the export share. Do not change their directories."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import export
from export import verify
from zoo.training import trainer
from zoo.training.config import Config


@pytest.fixture(scope="session", autouse=True)
def _measure_less():
    """Measures the latency with fewer examples than a real export does."""
    verify.LATENCY_RUNS = 11


@pytest.fixture(scope="session")
def train(tmp_path_factory, data_dir):
    """Trains; returns the finished run."""

    def train(model, **options):
        path = tmp_path_factory.mktemp("runs") / model
        config = Config(
            model=model, data_dir=str(data_dir), run_dir=str(path), **options
        )
        return trainer.train(config)

    return train


@pytest.fixture(scope="session")
def runs(train):
    """Finished and exported runs of all models on digits, trained on demand."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = train(name, dataset="digits", overrides={"epochs": 12})
            export.export_run(made[name])
        return made[name]

    return run


@pytest.fixture(scope="session")
def regression(train):
    """A finished run of linear on linear_regression."""
    return train("linear", overrides={"epochs": 1})


@pytest.fixture
def copy(runs, tmp_path):
    """A copy of the exported mlp run, which tests may change."""
    return shutil.copytree(runs("mlp").run.path, tmp_path / "run")


def records(run_dir):
    content = json.loads((run_dir / "export" / "export.json").read_text())
    return {record["name"]: record for record in content["artifacts"]}


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
