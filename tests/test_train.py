"""The command train, mostly run in the process of the tests."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, check_user_error
from zoo import startup
from zoo.training.config import Config

TRAIN = str(ROOT / "train.py")


@pytest.fixture
def run(call, data_dir):
    """Runs train.py in this process, in an empty directory."""
    return lambda *flags: call("train", f"--data_dir={data_dir}", *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--model is missing"),
        (["--model=mlp", "--epochs=two"], "--epochs=two"),
        (["--model=mlp", "--seed=-1"], "--seed must be"),
        (["--model=mlp", "--validation=1"], "--validation must be a share"),
        (["--model=mlp", "--image_size=0"], "--image_size must be"),
        (["--model=mlp", "--jit_compile=maybe"], "jit_compile.*maybe"),
        (["--model=mlp", "--steps_per_execution=0"], "or auto. Received: 0"),
        (["--model=mlp", "--eval_every=0"], "--eval_every must be .* Received: 0"),
        (["--model=mlp", "--recipe=finetune"], "finetune need --weights"),
        (["--model=mlp", "--run_dir="], "--run_dir is empty"),
        (["--model=mlp", "--histograms", "--notensorboard"], "for TensorBoard"),
        (["--modle=mlp"], "Unknown command line flag 'modle'.*model"),
        (["--model=mlp", "mnist"], "Only flags are taken. Received: mnist"),
        # Explained on lower floors; here in one line, before TensorFlow is started.
        (["--model=convnt"], "Unknown model 'convnt'. Known: .*mean 'convnet'"),
        (["--model=mlp", "--weights=imagenet"], "weights of mlp 'imagenet'. Known: "),
        (["--model=mlp", "--dataset=mnst"], "Unknown dataset 'mnst'.*mean 'mnist'"),
        (["--model=mlp", "--profile_steps=20,10"], "--profile_steps must be"),
        (["--model=mlp", "--epochs=0"], "--epochs must be .* Received: 0"),
        (["--model=mlp", "--strategy=multi_worker"], "needs two workers or more"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_explained_before_tensorflow_is_started(
    call, flags, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(startup, "start", lambda **_: pytest.fail("started"))
    monkeypatch.delenv("TF_CONFIG", raising=False)
    check_user_error(call("train", *flags), message, tmp_path)


def test_a_closed_stdout_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert Config("mlp").shown == "none"


def test_a_mistyped_recipe_is_explained(run, tmp_path):
    check_user_error(
        run("--model=mlp", "--recipe=tutorial_kers"),
        "Unknown recipe .*mean 'tutorial_keras'",
        tmp_path,
    )


def test_another_backend_is_refused(command, tmp_path):
    done = command(TRAIN, "--model=mlp", KERAS_BACKEND="jax")
    check_user_error(done, "Received: KERAS_BACKEND=jax. Unset it", tmp_path)


def test_help_lists_the_flags_without_tensorflow(command):
    done = command("-X", "importtime", TRAIN, "--help")
    assert done.returncode == 0
    for flag in ("--model", "--learning_rate", "--[no]nesterov", "--[no]plots"):
        assert f"{flag}:" in done.stdout
    assert "tensorflow.python" not in done.stderr


def test_the_default_dataset_gives_way_loudly_and_only_it(run, tmp_path, monkeypatch):
    # A proxy that does not exist cuts off the network on any machine.
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    flags = ["--model=mlp", "--epochs=1", "--export=none", "--noplots"]
    done = run(*flags, "--dataset=mnist")
    assert done.returncode == 1
    assert re.match("Error: mnist is .*--dataset=digits or .*\n$", done.stderr)
    assert list(tmp_path.iterdir()) == []
    done = run(*flags)
    assert "The dataset is mnist, the default of mlp; --dataset choos" in done.stdout
    substituted, few_steps = done.stderr.splitlines()
    assert re.match("WARNING: .*does not answer.*training on digits", substituted)
    assert "--epochs=1 gives 11 steps" in few_steps
    for name in ("config.json", "result.json"):
        content = json.loads((tmp_path / "runs/mlp-digits" / name).read_text())
        assert content["dataset_requested"] == "mnist"
        assert "does not answer" in content["dataset_reason"]


def test_the_line_is_announced_where_images_may_be_expected(run):
    said = run("--model=linear", "--epochs=1", "--export=none", "--noplots").stdout
    assert "linear_regression, the default of linear; --dataset chooses anot" in said
    assert "such as mnist" in said


def test_a_run_ends_with_its_summary(run, tmp_path):
    flags = ["--model=mlp", "--dataset=digits", "--epochs=3"]
    done = run(*flags, "--export=none", "--noplots")
    assert done.returncode == 0
    assert done.stderr == (
        "WARNING: --epochs=3 gives 33 steps of training. The recipe default of mlp "
        "takes at least 1,000 and may learn little in fewer. Leave out --epochs to get "
        "longer epochs.\n"
    )
    assert "the default of" not in done.stdout
    result = json.loads((tmp_path / "runs/mlp-digits/result.json").read_text())
    accuracy = f"{100 * result['test']['accuracy']:.2f}%"
    rate = f"{result['examples_per_second']:,}"
    images = "28x28x1, 10 classes"
    for text in (accuracy, "235,146", "runs/mlp-digits", rate, images):
        assert text in done.stdout


def test_what_is_missing_of_a_finished_run_is_drawn_and_exported(run, tmp_path):
    flags = ["--model=linear", "--dataset=digits", "--epochs=1"]
    place = tmp_path / "runs" / "linear-digits"
    run(*flags, "--noplots", "--export=none")
    assert not (place / "plots").exists() and not (place / "export").exists()
    run(*flags, "--noplots", "--export=tflite")
    # Some pictures exist, and another format is exported.
    (place / "plots").mkdir()
    (place / "plots" / "curves.png").write_bytes(b"mine")
    assert "nothing to do" in run(*flags, "--export=tflite,saved_model").stdout
    assert (place / "plots" / "curves.png").read_bytes() == b"mine"
    assert (place / "plots" / "confusion.png").exists()
    content = json.loads((place / "export" / "export.json").read_text())
    formats = {record["format"] for record in content["artifacts"]}
    assert formats == {"saved_model", "tflite"}
    # A file that is gone is exported again.
    int8 = place / "export" / "tflite" / "model_int8.tflite"
    int8.unlink()
    run(*flags, "--export=tflite,saved_model")
    assert int8.exists()


def test_progress_bars_are_for_terminals(tmp_path, data_dir):
    terminal, its_end = pty.openpty()
    flags = ["--model=mlp", "--dataset=digits", "--epochs=2", "--export=none"]
    places = ["--noplots", f"--data_dir={data_dir}"]
    arguments = [sys.executable, TRAIN, *flags, *places]
    pipes = {"stdout": its_end, "stderr": subprocess.PIPE}
    process = subprocess.Popen(arguments, cwd=tmp_path, **pipes)
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):  # this is how a terminal signals its end
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    _, err = process.communicate(timeout=60)
    (line,) = err.splitlines()
    assert (process.returncode, line[:19]) == (0, b"WARNING: --epochs=2")
    text = shown.decode()
    assert "Epoch 1/2" in text
    assert "accuracy:" in text
    assert "test accuracy" in text


def test_the_results_that_were_promised_on_mnist(run, mnist_dir, tmp_path):
    run("--model=linear", f"--dataset={mnist_dir}", "--export=none", "--noplots")
    result = json.loads((tmp_path / "runs/linear-mnist/result.json").read_text())
    assert result["num_test_examples"] == 10_000
    assert result["test"]["accuracy"] >= 0.92
