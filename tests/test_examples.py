"""Runs each example as users do."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import nbclient
import nbformat
import pytest
import requests
import yaml
from PIL import Image

import export
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    """The directory of an export that has a SavedModel and TFLite files."""
    place = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(trained_run.run.path, place)
    export.export_run(
        place, ["saved_model", "tflite"], plots=False, tflite_files="float32,int8"
    )
    return place / "export"


@pytest.fixture
def image(trained_run, tmp_path):
    """A test image as a file, twice as large; and its class."""
    pixels, label = trained_run.dataset.test.x[0], trained_run.dataset.test.y[0]
    path = tmp_path / "digit.png"
    Image.fromarray(pixels[..., 0]).resize((56, 56)).save(path)
    return path, str(label)


@pytest.mark.parametrize(
    ("name", "resize"), [("float32", "stretch"), ("int8", "crop"), ("int8", "pad")]
)
def test_litert_alone_classifies_an_image(command, exported, image, name, resize):
    path, label = image
    example = str(EXAMPLES / "classify_litert.py")
    flags = [str(exported / "tflite" / f"model_{name}.tflite"), str(path)]
    flags.append(f"--resize={resize}")
    code = "import sys; sys.modules['tensorflow'] = sys.modules['zoo'] = None; "
    code += f"import runpy; sys.argv[1:] = {flags}; "
    code += f"runpy.run_path({example!r}, run_name='__main__')"
    done = command("-c", code)
    assert done.returncode == 0, done.stderr
    given, answer, probability = done.stdout.split()
    assert (given, answer) == (str(path), label)
    assert 0.2 < float(probability) <= 1


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("serve_http.py", ["run/export"], "--run_dir=run --formats=saved_model"),
        ("classify_litert.py", ["a.tflite", "a.png"], "a.tflite does not exist"),
    ],
)
def test_an_export_that_is_not_there_is_explained(command, name, arguments, message):
    done = command(str(EXAMPLES / name), *arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_files_that_the_examples_name_exist():
    for path in EXAMPLES.glob("*.py"):
        named = re.findall(r"\S+\.(?:png|jpg)", path.read_text())
        assert all((ROOT / name.removeprefix("@")).exists() for name in named), named


@contextlib.contextmanager
def served(exported):
    """Starts the HTTP server; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program = [sys.executable, str(EXAMPLES / "serve_http.py")]
    process = subprocess.Popen(
        [*program, str(exported), "--port", port], stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{address}/docs", timeout=10)
                break
            assert process.poll() is None
            time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_an_image_is_classified_over_http(exported, image):
    path, label = image
    with served(exported) as address:
        command = ["curl", "--silent", "--data-binary", f"@{path}"]
        answer = subprocess.run(
            [*command, f"{address}/classify"], capture_output=True, check=True
        )
        probabilities = json.loads(answer.stdout)
        assert max(probabilities, key=probabilities.get) == label
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        refused = requests.post(f"{address}/classify", data=b"no image", timeout=10)
        assert refused.status_code == 400
        assert refused.json() == {"detail": "The body is not an image."}


def test_tf_serving_finds_the_versions_of_the_export(exported):
    content = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
    service = content["services"]["serving"]
    (mount,) = service["volumes"]
    assert mount["target"] == f"/models/{service['environment']['MODEL_NAME']}"
    source = re.sub(r"\$\{RUN:[^}]*\}", str(exported.parent), mount["source"])
    assert os.listdir(source) == ["1"]  # noqa: PTH208


NOTEBOOK = nbformat.read(EXAMPLES / "digits.ipynb", as_version=4)


def test_the_notebook_is_kept_without_outputs():
    code = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch, data_dir):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    place = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(NOTEBOOK, timeout=300, resources=place)
    outputs = [
        out for cell in client.execute().cells for out in cell.get("outputs", [])
    ]
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 4
    # Nothing is logged: streams hold only the output of the training.
    logged = "".join(out.text for out in outputs if out.output_type == "stream")
    assert not re.search("INFO|WARNING|cuInit", logged), logged
    assert (tmp_path / "runs/notebook/export/README.md").exists()
