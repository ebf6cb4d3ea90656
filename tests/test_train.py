"""train.py, as its users run it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT, check_user_error

TRAIN = str(ROOT / "train.py")


@pytest.fixture
def train(command, data_dir):
    def run(*flags, **options):
        return command(TRAIN, *flags, f"--data_dir={data_dir}", **options)

    return run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--model is missing"),
        (["--model=mlp", "--augment=flip"], "as shift=0.1,flip=0.5.*Received: flip"),
        (["--model=mlp", "--augment=flip=2"], "--augment: flip .* 0 to 1. Received: 2"),
        (["--model=convnt"], "Unknown model 'convnt'. Known: .*mean 'convnet'"),
        (["--model=mlp", "--dataset=mnst"], "Unknown dataset 'mnst'.*mean 'mnist'"),
        (["--model=mlp", "--dataset=./nowhere"], "nowhere"),
        (["--model=mlp", "--optimizer=adm"], "Unknown optimizer.*mean 'adam'"),
        (["--model=mlp", "--epochs=0"], "--epochs must be .* Received: 0"),
        (["--model=mlp", "--epochs=two"], "--epochs=two"),
        (["--model=mlp", "--batch_size=-1"], "--batch_size must be .* Received: -1"),
        (["--model=mlp", "--learning_rate=nan"], "--learning_rate .* Received: nan"),
        (["--model=mlp", "--learning_rate=0"], "--learning_rate .* Received: 0"),
        (["--model=mlp", "--seed=-1"], "--seed must be"),
        (["--model=mlp", "--validation=1"], "--validation must be a share"),
        (["--model=mlp", "--image_size=0"], "--image_size must be"),
        (["--model=mlp", "--image_size=3xx3"], "--image_size must be"),
        (["--model=mlp", "--jit_compile=maybe"], "jit_compile.*maybe"),
        (["--model=mlp", "--strategy=two"], "strategy.*two"),
        (["--model=mlp", "--strategy=multi_worker"], "needs two workers or more"),
        (["--model=mlp", "--precision=half"], "precision.*half"),
        (["--model=mlp", "--steps_per_execution=0"], "or auto. Received: 0"),
        (
            ["--model=mlp", "--memory_limit=much"],
            "--memory_limit must be a number",
        ),
        (["--modle=mlp"], "Unknown command line flag 'modle'.*model"),
        (["--model=mlp", "mnist"], "Only flags are taken. Received: mnist"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_before_tensorflow_is_imported(
    command, flags, message, tmp_path
):
    done = command("-X", "importtime", TRAIN, *flags)
    check_user_error(done, message, tmp_path)


def test_a_mistyped_recipe_is_explained(command, tmp_path):
    done = command(TRAIN, "--model=mlp", "--recipe=tutorial_kers")
    assert done.returncode == 2
    assert re.fullmatch(
        r"Error: Unknown recipe .*mean 'tutorial_keras'.*\n", done.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_another_backend_is_refused(command, tmp_path):
    done = command(TRAIN, "--model=mlp", KERAS_BACKEND="jax")
    check_user_error(done, "Received: KERAS_BACKEND=jax. Unset it", tmp_path)


@pytest.mark.parametrize("place", ["file/inside", "/proc/run"])
def test_a_run_dir_that_cannot_be_written_is_refused(train, tmp_path, place):
    (tmp_path / "file").write_text("")
    done = train("--model=mlp", "--dataset=digits", f"--run_dir={place}")
    assert done.returncode == 2
    assert re.fullmatch(
        r"Error: The run directory cannot be written. .*\n", done.stderr
    )


def test_help_lists_the_flags_without_tensorflow(command):
    done = command("-X", "importtime", TRAIN, "--help")
    assert done.returncode == 0
    assert "python train.py --model=convnet" in done.stdout
    for flag in ("--model", "--dataset", "--learning_rate", "--[no]nesterov"):
        assert f"{flag}:" in done.stdout
    assert "tensorflow.python" not in done.stderr


def test_the_default_dataset_gives_way_loudly_and_only_it(train, tmp_path):
    # A proxy that nobody listens at: no network, whatever the machine has.
    offline = {
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    flags = ["--model=linear", "--epochs=1", "--export=none"]
    done = train(*flags, "--dataset=mnist", **offline)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []

    done = train("--model=mlp", "--epochs=1", "--export=none", **offline)
    assert done.returncode == 0, done.stderr
    warnings = [s for s in done.stderr.splitlines() if s.startswith("WARNING")]
    assert len(warnings) == 1
    assert "training on digits instead" in warnings[0]
    for name in ("config.json", "result.json"):
        content = json.loads((tmp_path / "runs/mlp-digits" / name).read_text())
        assert content["dataset_requested"] == "mnist"
        assert "does not answer" in content["dataset_reason"]


def test_a_finished_run_is_left_alone(train, tmp_path):
    flags = ["--model=mlp", "--dataset=digits", "--epochs=3", "--export=none"]
    done = train(*flags)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    run = "runs/mlp-digits"
    result = json.loads((tmp_path / run / "result.json").read_text())
    accuracy = f"{100 * result['test']['accuracy']:.2f}%"
    for text in (accuracy, "235,146", run, f"{result['examples_per_second']:,}"):
        assert text in done.stdout

    again = train(*flags)
    assert again.returncode == 0
    assert "nothing to do" in again.stdout
    other = train(*flags, "--seed=3")
    assert other.returncode == 2
    assert "seed: 0 -> 3" in other.stderr


def test_what_is_missing_of_a_finished_run_is_drawn_and_exported(train, tmp_path):
    flags = ["--model=linear", "--dataset=digits", "--epochs=1"]
    done = train(*flags, "--noplots", "--export=none")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "linear-digits"
    assert (run / "tensorboard").exists()
    done = train(*flags, "--noplots", "--export=tflite")
    assert done.returncode == 0, done.stderr
    assert (run / "export" / "README.md").exists()
    assert not (run / "plots").exists()
    # Half of the pictures, and another format.
    (run / "plots").mkdir()
    (run / "plots" / "curves.png").write_bytes(b"mine")
    done = train(*flags, "--export=tflite,saved_model")
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert (run / "plots" / "curves.png").read_bytes() == b"mine"
    assert (run / "plots" / "confusion.png").exists()
    content = json.loads((run / "export" / "export.json").read_text())
    formats = {record["format"] for record in content["artifacts"]}
    assert formats == {"saved_model", "tflite"}
    before = (run / "export" / "export.json").stat().st_mtime_ns
    done = train(*flags, "--export=saved_model")
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "export" / "export.json").stat().st_mtime_ns == before


def test_progress_bars_are_for_terminals(tmp_path, data_dir):
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            TRAIN,
            "--model=mlp",
            "--dataset=digits",
            "--epochs=2",
            "--export=none",
            f"--data_dir={data_dir}",
        ],
        cwd=tmp_path,
        stdout=its_end,
    )
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal's end is told
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "Epoch 1/2" in text
    assert "accuracy:" in text
    assert "test accuracy" in text


def test_the_results_that_were_promised_on_mnist(train, mnist_dir, tmp_path):
    done = train("--model=linear", f"--dataset={mnist_dir}", "--export=none")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs/linear-mnist/result.json").read_text())
    assert result["num_test_examples"] == 10_000
    assert result["test"]["accuracy"] >= 0.92
    assert np.isfinite(result["train"]["loss"])
