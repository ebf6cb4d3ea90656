"""Faults planted in an export: each is caught, and nothing is replaced."""

from __future__ import annotations

import json
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import export
from export import exporter, saved_model, tflite, verify
from zoo import training
from zoo.config import Config
from zoo.errors import RunError, UserError


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    """A finished run of the mlp, exported once."""
    path = tmp_path_factory.mktemp("faults") / "mlp"
    outcome = training.run(
        Config(
            model="mlp",
            dataset="digits",
            overrides={"epochs": 2},
            data_dir=str(data_dir),
            run_dir=str(path),
        )
    )
    export.export_run(path, dataset=outcome.dataset)
    return outcome


def snapshot(run_dir):
    return {
        str(path.relative_to(run_dir)): path.stat().st_mtime_ns
        for path in run_dir.rglob("*")
        if path.name != ".lock" and path.is_file()
    }


@pytest.fixture
def check_caught(finished):
    """Exports, expects the failure, and expects that nothing has changed."""

    def check(message, formats=("tflite",)):
        before = snapshot(finished.run_dir)
        with pytest.raises(RunError, match=message) as caught:
            export.export_run(finished.run_dir, formats, dataset=finished.dataset)
        assert "\n" not in str(caught.value)
        assert snapshot(finished.run_dir) == before

    return check


def test_weights_left_out_are_caught(check_caught, monkeypatch):
    write_source = tflite._write_source

    def without_weights(model, data, directory):
        twin = type(model).from_config(model.get_config())
        twin(tf.zeros((1, *data["input_shape"])))
        write_source(twin, data, directory)

    monkeypatch.setattr(tflite, "_write_source", without_weights)
    check_caught(r"model_float32.tflite: max_abs_error is .*, at most 0.0001 allowed")


def test_swapped_channels_are_caught(check_caught, monkeypatch):
    reference = exporter.contract.reference

    def swapped(model, x):
        # Rows for columns: what a wrong layout does to a gray image.
        return reference(model, tf.transpose(x, [0, 2, 1, 3]))

    monkeypatch.setattr(tflite.contract, "reference", swapped)
    monkeypatch.setattr(
        exporter, "_reference", lambda model, data: _answers(reference, model, data)
    )
    check_caught(r"model_float32.tflite: .* get another class")


def test_swapped_channels_of_colors_are_caught(tmp_path):
    import zoo

    keras.utils.set_random_seed(0)
    model = zoo.create_model("convnet", input_shape=(8, 8, 3), num_classes=3)
    data = {"input_shape": [8, 8, 3], "num_classes": 3, "class_names": list("abc")}
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype("uint8")
    split = exporter.Dataset.__annotations__ and _Split(x, np.zeros(64, "int32"))
    reference = tf.nn.softmax(model(x)).numpy()
    path = tmp_path / "1"
    saved_model.write(model, data, path)
    _, problems = verify.verify("saved_model", path, tmp_path, data, split, reference)
    assert problems == []
    swapped = tf.nn.softmax(model(x[..., ::-1])).numpy()
    _, problems = verify.verify("saved_model", path, tmp_path, data, split, swapped)
    assert any("max_abs_error" in problem for problem in problems)


def test_a_float_operation_in_an_integer_file_is_caught(check_caught, monkeypatch):
    convert = tflite.convert

    def float_inside(source, data, variant, calibration):
        if variant == "int8":
            return convert(source, data, "dynamic", calibration)
        return convert(source, data, variant, calibration)

    monkeypatch.setattr(tflite, "convert", float_inside)
    check_caught(r"model_int8.tflite: .*it has float32 tensors")


def test_a_cast_before_the_first_layer_is_caught(check_caught, monkeypatch):
    """A uint8 input by a cast leaves float operations and no scale of 1."""
    write = tflite.write

    def with_cast(model, data, directory, calibration):
        write(model, data, directory, calibration)
        archive = keras.export.ExportArchive()
        archive.add_endpoint(
            "serving_default",
            lambda image: {"probabilities": tf.nn.softmax(model(image))},
            input_signature=[tf.TensorSpec((1, 28, 28, 1), tf.uint8, name="image")],
        )
        archive.write_out(str(directory / "cast"), verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(directory / "cast"))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        (directory / "model_int8.tflite").write_bytes(converter.convert())
        shutil.rmtree(directory / "cast")

    monkeypatch.setattr(tflite, "write", with_cast)
    check_caught(r"model_int8.tflite: .*float32 tensors")


def test_calibration_on_noise_is_caught(check_caught, monkeypatch):
    noise = np.random.default_rng(0).random((500, 28, 28, 1)).astype("float32")
    monkeypatch.setattr(tflite, "calibration_inputs", lambda train, seed: noise)
    check_caught(r"model_int8.tflite: .*(accuracy_drop|input quantization)")


def test_calibration_on_noise_of_the_right_range_is_measured(check_caught, monkeypatch):
    """All pixels at 255 give the right input scale; the inner ranges are wrong."""
    bright = np.full((500, 28, 28, 1), 255, "float32")
    bright[:, 0, 0] = 0
    monkeypatch.setattr(tflite, "calibration_inputs", lambda train, seed: bright / 64)
    check_caught(r"model_int8.tflite: ")


def test_an_operation_that_is_not_built_in_is_named(check_caught, monkeypatch):
    reference = tflite.contract.reference

    def with_flex(model, x):
        return tf.math.igamma(tf.ones((1, 10)), reference(model, x))

    answers = exporter._reference
    monkeypatch.setattr(
        exporter, "_reference", lambda model, data: answers(model, data)
    )
    monkeypatch.setattr(tflite.contract, "reference", with_flex)
    check_caught(r"cannot be converted with built-in operations: .*Igamma")


def test_a_tensor_that_is_not_finite_is_caught():
    outputs = np.full((4, 3), np.nan, "float32")
    data = {"num_classes": 3}
    reference = np.eye(4, 3, dtype="float32")
    measured = verify.compare(outputs, reference, np.zeros(4, "int32"), data)
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    problems = verify._bound_problems("float32", outputs, reference, measured, data)
    assert any("max_abs_error" in problem for problem in problems)


def test_ties_may_go_either_way():
    reference = np.float32([[0.5, 0.5], [0.6, 0.4]])
    tie = np.float32([[0.49999, 0.50001], [0.6, 0.4]])
    wrong = np.float32([[0.5, 0.5], [0.4, 0.6]])
    data, labels = {"num_classes": 2}, np.zeros(2, "int32")
    for outputs, expected in ((tie, []), (wrong, ["1 examples get another class"])):
        measured = verify.compare(outputs, reference, labels, data)
        problems = verify._bound_problems("float32", outputs, reference, measured, data)
        assert [p for p in problems if "class" in p] == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run_dir": "nowhere"}, "There is no run directory nowhere"),
        ({"run_dir": "empty"}, "is not a run: it has no config.json"),
        ({"run_dir": "half"}, "is not finished"),
        ({"run_dir": "run", "formats": "tflit"}, "format 'tflit'.*mean 'tflite'"),
        ({"run_dir": "run", "formats": ""}, "--formats names nothing. Known: saved"),
        ({}, "--run_dir is missing"),
    ],
)
def test_bad_requests_get_one_line(command, finished, tmp_path, fields, message):
    import re

    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    (tmp_path / "run").symlink_to(finished.run_dir)
    done = command("-m", "export", *(f"--{k}={v}" for k, v in fields.items()))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr), done.stderr


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished.run_dir, tmp_path / "run")
    return tmp_path / "run"


def test_a_damaged_model_is_refused(copy, finished):
    (copy / "model.keras").write_bytes(b"PK\x03\x04 not a zip")
    before = snapshot(copy)
    with pytest.raises(UserError, match="model.keras cannot be loaded"):
        export.export_run(copy, dataset=finished.dataset)
    assert snapshot(copy) == before


def test_a_changed_file_is_told(copy, command):
    path = copy / "export" / "tflite" / "model_int8.tflite"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = command("-m", "zoo", "evaluate", f"--artifact={path}")
    assert done.returncode == 2
    assert "was changed since it was exported: its sha256 is" in done.stderr


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" * 9])
def test_a_file_that_is_no_tflite_is_refused(tmp_path, content):
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"a.tflite cannot be loaded"):
        export.load(tmp_path / "a.tflite")


def test_inputs_of_another_shape_are_refused(finished):
    loaded = export.load(finished.run_dir / "export" / "saved_model" / "1")
    with pytest.raises(UserError, match=r"\(n, 28, 28, 1\). Received: \(28, 28\)"):
        loaded(np.zeros((28, 28)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_target_that_cannot_be_written_is_refused(copy, finished):
    copy.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        export.export_run(copy, dataset=finished.dataset)
    copy.chmod(0o700)


class _Split:
    def __init__(self, x, y):
        self.x, self.y = x, y


def _answers(reference, model, dataset):
    return reference(model, tf.constant(dataset.test.x)).numpy()
