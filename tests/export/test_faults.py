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
import zoo
from export import exporter, saved_model, tflite, verify
from zoo.data.dataset import Split
from zoo.errors import RunError, UserError
from zoo.training import trainer
from zoo.training.config import Config


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    """A finished run of the mlp, exported once."""
    path = tmp_path_factory.mktemp("faults") / "mlp"
    outcome = trainer.train(
        Config(
            model="mlp",
            dataset="digits",
            overrides={"epochs": 12},
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
    check_caught(r"model_float32.tflite: max_abs_error is .*, allowed 0.0001")


def test_swapped_channels_are_caught(check_caught, monkeypatch):
    reference = exporter.signatures.reference

    def swapped(model, x):
        # Rows for columns: what a wrong layout does to a gray image.
        return reference(model, tf.transpose(x, [0, 2, 1, 3]))

    monkeypatch.setattr(tflite.contract, "reference", swapped)
    monkeypatch.setattr(
        exporter, "_reference", lambda model, data: _answers(reference, model, data)
    )
    check_caught(r"model_float32.tflite: .* get another class")


def test_swapped_channels_of_colors_are_caught(tmp_path):
    keras.utils.set_random_seed(0)
    model = zoo.create_model("convnet", input_shape=(8, 8, 3), num_classes=3)
    data = {"input_shape": [8, 8, 3], "num_classes": 3, "class_names": list("abc")}
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype("uint8")
    split = Split(x, np.zeros(64, np.int32))
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
    check_caught(r"model_int8.tflite: accuracy_drop is .*, allowed 0.3")


def test_an_operation_that_is_not_built_in_is_named(check_caught, monkeypatch):
    reference = tflite.signatures.reference

    def with_flex(model, x):
        return tf.math.igamma(tf.ones((1, 10)), reference(model, x))

    answers = exporter._reference
    monkeypatch.setattr(
        exporter, "_reference", lambda model, data: answers(model, data)
    )
    monkeypatch.setattr(tflite.contract, "reference", with_flex)
    check_caught(r"cannot be converted with built-in operations: .*Igamma")


@pytest.mark.parametrize("name", verify.BOUNDS)
def test_outputs_that_are_not_finite_are_caught(name):
    outputs = np.eye(4, 3, dtype="float32")
    reference, labels = outputs.copy(), np.zeros(4, "int32")
    outputs[0] = np.nan
    data = {"num_classes": 3}
    measured = verify.compare(outputs, reference, labels, data)
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured
    problems = verify._bound_problems(name, outputs, reference, measured, data)
    assert "outputs that are not finite" in problems


def answers(size, wrong, error):
    """Outputs of two classes, some of them wrong, all of them off by an error."""
    reference = np.tile(np.float32([0.75, 0.25]), (size, 1))
    outputs = reference + np.float32([error, 0])
    outputs[:wrong] = outputs[:wrong, ::-1]
    return outputs, reference


@pytest.mark.parametrize(
    ("name", "size", "wrong", "error", "passes"),
    [
        ("saved_model", 1000, 0, 0.9e-4, True),
        ("saved_model", 1000, 0, 1.2e-4, False),
        ("float32", 1000, 0, 0.9e-4, True),
        ("float32", 1000, 0, 1.2e-4, False),
        ("float32", 1000, 1, 0.0, False),
        ("float16", 1000, 0, 0.9e-2, True),
        ("float16", 1000, 0, 1.2e-2, False),
        ("dynamic", 10_000, 10, 0.0, True),
        ("dynamic", 10_000, 11, 0.0, False),
        ("int16x8", 10_000, 10, 0.0, True),
        ("int16x8", 10_000, 11, 0.0, False),
        ("int8", 10_000, 30, 0.0, True),
        ("int8", 10_000, 31, 0.0, False),
        # One example, where the split cannot tell so few points.
        ("dynamic", 360, 1, 0.0, True),
        ("dynamic", 360, 2, 0.0, False),
        ("int8", 100, 2, 0.0, False),
    ],
)
def test_every_bound_holds_where_it_is_said_to(name, size, wrong, error, passes):
    outputs, reference = answers(size, wrong, error)
    data, labels = {"num_classes": 2}, np.zeros(size, "int32")
    measured = verify.compare(outputs, reference, labels, data)
    assert measured["accuracy_drop"] == pytest.approx(100 * wrong / size)
    problems = verify._bound_problems(name, outputs, reference, measured, data)
    assert (problems == []) == passes, problems


def test_calibration_takes_training_images_by_the_seed(digits):
    chosen = tflite.calibration_inputs(digits.train, seed=0)
    assert chosen.shape == (500, 28, 28, 1)
    assert chosen.dtype == np.float32
    train = {image.tobytes() for image in digits.train.x}
    assert all(image.astype("uint8").tobytes() in train for image in chosen)
    again = tflite.calibration_inputs(digits.train, seed=0)
    np.testing.assert_array_equal(chosen, again)
    assert not np.array_equal(chosen, tflite.calibration_inputs(digits.train, seed=1))


def test_images_that_never_reach_white_are_still_raw_pixels(tmp_path):
    keras.utils.set_random_seed(0)
    model = zoo.create_model("mlp", input_shape=(8, 8, 1), num_classes=3)
    data = {"input_shape": [8, 8, 1], "num_classes": 3, "class_names": list("abc")}
    dark = np.random.default_rng(0).integers(40, 120, (50, 8, 8, 1)).astype("uint8")
    calibration = dark.astype("float32")
    tflite.write(model, data, tmp_path, calibration)
    loaded = export.load(tmp_path / "model_int8.tflite")
    assert loaded.input.quantization == (1.0, 0)
    reference = tf.nn.softmax(model(dark)).numpy()
    np.testing.assert_allclose(loaded(dark), reference, atol=0.05)


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


def fail(*arguments, **options):
    raise ZeroDivisionError


def test_what_a_killed_export_left_is_put_back_or_removed(tmp_path):
    target = tmp_path / "export"
    (tmp_path / ".export.new").mkdir()
    (tmp_path / ".export.new" / "half").write_text("")
    # Killed between the two renames: the earlier export is set aside.
    (tmp_path / ".export.old").mkdir()
    (tmp_path / ".export.old" / "good").write_text("")
    with pytest.raises(ZeroDivisionError), exporter._replacing(target):
        fail()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == [
        *("export", "export/good")
    ]
    with exporter._replacing(target) as directory:
        (directory / "better").write_text("")
    assert [p.name for p in target.iterdir()] == ["better"]
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_a_rename_that_fails_puts_the_earlier_export_back(tmp_path, monkeypatch):
    target = tmp_path / "export"
    target.mkdir()
    (target / "good").write_text("")
    rename = type(target).rename

    def failing(self, other):
        if self.name == ".export.new":
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(type(target), "rename", failing)
    with pytest.raises(OSError, match="No space"), exporter._replacing(target):
        pass
    assert [p.name for p in target.iterdir()] == ["good"]


def test_a_file_in_the_place_of_the_export_is_kept(tmp_path):
    (tmp_path / "export").write_text("mine")
    with (
        pytest.raises(UserError, match="is not a directory"),
        exporter._replacing(tmp_path / "export"),
    ):
        pass
    assert (tmp_path / "export").read_text() == "mine"


@pytest.mark.parametrize("fault", ["change", "remove"])
def test_what_was_changed_is_not_carried_over(copy, finished, fault):
    path = copy / "export" / "saved_model" / "1" / "saved_model.pb"
    if fault == "change":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        shutil.rmtree(path.parent)
    with pytest.raises(UserError, match="is not what was exported"):
        export.export_run(copy, ["tflite"], dataset=finished.dataset)
    export.export_run(copy, ["saved_model"], dataset=finished.dataset)


def test_a_full_disk_is_one_line_and_leaves_the_earlier_export(copy, command):
    """RLIMIT_FSIZE: no file may grow beyond 200 kB."""
    before = snapshot(copy)
    code = (
        "import resource, signal, sys, runpy;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        f"sys.argv = ['export', '--run_dir={copy}'];"
        "runpy.run_module('export', run_name='__main__', alter_sys=True)"
    )
    done = command("-c", code)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "is as it was" in done.stderr
    assert snapshot(copy) == before


def test_the_model_of_another_run_is_refused(copy, finished):
    other = zoo.create_model("linear", input_shape=(28, 28, 1), num_classes=10)
    other.save(copy / "model.keras")
    with pytest.raises(UserError, match="is not the model that .*result.json is about"):
        export.export_run(copy, dataset=finished.dataset)


@pytest.mark.parametrize("formats", [[], ["none"], ["bogus"]])
def test_formats_are_checked_in_python_too(finished, formats):
    with pytest.raises(UserError, match="format"):
        export.export_run(finished.run_dir, formats)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (300, "0 to 255. Received: 300 to 300"),
        (-1, "0 to 255. Received: -1 to -1"),
        (np.nan, "finite numbers"),
        (None, "finite numbers"),
    ],
)
def test_pixels_out_of_range_are_refused(finished, value, message):
    batch = np.full((2, 28, 28, 1), value)
    for name in ("saved_model/1", "tflite/model_int8.tflite"):
        loaded = export.load(finished.run_dir / "export" / name)
        with pytest.raises(UserError, match=message):
            loaded(batch)
        assert loaded(batch[:0].astype("uint8")).shape == (0, 10)


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


def _answers(reference, model, dataset):
    return reference(model, tf.constant(dataset.test.x)).numpy()
