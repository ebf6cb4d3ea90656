"""Tests the model card: its contents, and that its calls work as printed."""

from __future__ import annotations

import base64
import dataclasses
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf

from export import card, records
from tests.export.conftest import run_code
from zoo.runs.run import open_run


@pytest.fixture
def content(runs):
    """The content of export.json of a run."""
    return records.read(runs("mlp").run.export)


@pytest.fixture
def requests():
    """The port of a server on this machine, and the requests that it has got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, got
        server.shutdown()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_calls_of_tf_serving_send_what_the_signatures_take(
    runs, requests, digits, tmp_path
):
    export, (port, got) = runs("mlp").run.export, requests
    text = (export / "README.md").read_text()
    shutil.copy(export / "sample.png", tmp_path)
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        code = block.replace(":8501", f":{port}").replace("python3", sys.executable)
        environment = {**os.environ, "no_proxy": "localhost"}
        subprocess.run(["bash", "-c", code], cwd=tmp_path, env=environment, check=True)
    (_, encoded), (_, pixels) = got
    assert {path for path, _ in got} == {"/v1/models/mlp:predict"}
    assert encoded["signature_name"] == "serve_bytes"
    assert "signature_name" not in pixels  # it is serving_default
    signatures = tf.saved_model.load(str(export / "saved_model" / "1")).signatures
    content = base64.b64decode(encoded["instances"][0]["b64"])
    image = np.uint8(pixels["instances"])
    said = re.search(r"`sample.png` is a test image of the class (\d)\.", text)[1]
    for answer in (
        signatures["serve_bytes"](image_bytes=tf.constant([content])),
        signatures["serving_default"](image=tf.constant(image)),
    ):
        assert answer["class_id"].numpy() == [int(said)]
    same = (digits.test.x == image).all(axis=(1, 2, 3))
    assert int(said) in digits.test.y[same]
    docker = re.search(r"docker run .*?tensorflow/serving", text, re.DOTALL)[0]
    assert "-e MODEL_NAME=mlp" in docker
    assert '-v "$PWD/saved_model:/models/mlp"' in docker


@pytest.mark.parametrize(
    ("command", "used", "reason", "expected"),
    [
        ("python train.py --model=mlp", "mnist", None, "python train.py --model=mlp"),
        (
            "python train.py --model=mlp",
            "digits",
            "no network",
            "python train.py --model=mlp --dataset=digits",
        ),
        (
            "python __main__.py train --model=mlp --dataset='my data'",
            "/my data",
            None,
            "python -m zoo train --model=mlp '--dataset=my data'",
        ),
        ("python zoo train --model=mlp", "mnist", None, "zoo train --model=mlp"),
    ],
)
def test_the_command_of_the_card_repeats_the_run(command, used, reason, expected):
    result = {"command": command, "dataset": used, "dataset_reason": reason}
    assert card.repeating(result) == expected


def test_recall_is_that_of_the_result(runs, content):
    run = open_run(runs("mlp").run.path)
    rows = [
        {"name": "a|b", "recall": 0.5, "count": 1200},
        {"name": "c", "recall": None, "count": 0},
    ]
    run.result |= {"test_per_class": rows, "test_macro_recall": 0.625}
    text = card.render(run, content)
    assert "| a\\|b | 50.00% | 1,200 |\n| c |  | 0 |\n" in text
    assert "| **mean of the classes** | **62.50%** | |" in text
    del run.result["test_per_class"], run.result["test_macro_recall"]
    assert "recall" not in card.render(run, content)


def test_a_card_says_how_bright_the_training_images_are(runs, digits):
    text = (runs("mlp").run.export / "README.md").read_text()
    mean = np.concatenate(list(digits.train.blocks())).mean()
    assert f"have a mean brightness of {mean:.0f}: the answers to much darker" in text


def test_a_card_speaks_of_the_files_that_there_are(runs, content):
    trained = runs("mlp")

    def render(names):
        artifacts = [file for file in content.artifacts if file.name in names]
        return card.render(trained, dataclasses.replace(content, artifacts=artifacts))

    said = content.sample
    text = render(["int8"])
    assert "model_int8" in text
    assert not re.search("serve_bytes|saved_model|model_float32|Learning in", text)
    assert run_code(text, trained.run.export).startswith(f"{said} 0.")
    text = render(["float32", "float16", "dynamic", "int8"])
    assert "| phone, GPU | `model_float16.tflite` |" in text
    assert "int16x8" not in text
    text = render(["saved_model"])
    assert "serve_bytes" in text and "tflite" not in text
    assert run_code(text, trained.run.export).count("[[") == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_the_apps_make_the_input_that_the_file_takes(runs, content, channels):
    (int8,) = (file for file in content.artifacts if file.name == "int8")
    shape = [20, 30, channels]
    taken = int8.input | {"shape": [1, *shape]}
    int8 = dataclasses.replace(int8, input=taken)
    export = dataclasses.replace(
        content, data=content.data | {"input_shape": shape}, artifacts=[int8]
    )
    text = card.render(runs("mlp"), export)
    kotlin, swift = (
        re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]
        for language in ("kotlin", "swift")
    )
    assert 'implementation("com.google.ai.edge.litert:litert:' in text
    assert "pod 'TensorFlowLiteSwift'" in text
    assert f"val input = buffer({600 * channels})" in kotlin
    assert "createScaledBitmap(image, 30, 20, true)" in kotlin
    assert "CGRect(x: 0, y: 0, width: 30, height: 20)" in swift
    assert f"toInputAt: 0)  // {600 * channels} bytes" in swift
    for code in (kotlin, swift):
        assert ("0.299" in code) == (channels == 1)
