"""Plants faults in exports: each is caught, and no earlier export is replaced."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import export
import zoo
from export import exporter, tflite, verify
from export.base import Draft
from export.saved_model import SavedModel
from tests.export.conftest import snapshot
from zoo.data.dataset import Split
from zoo.errors import RunError, UserError
from zoo.records.rundir import RunDir
from zoo.runs import run as outcome
from zoo.runs import scoring
from zoo.runs.run import TrainedRun


@pytest.fixture
def finished(runs):
    """An mlp run that has been exported once."""
    return runs("mlp")


@pytest.fixture
def check_caught(finished):
    """Checks that an export fails and that it changes nothing."""

    def check(message, formats=("tflite",)):
        before = snapshot(finished.run.path)
        with pytest.raises(RunError, match=message) as caught:
            export.export_run(finished, formats)
        assert "\n" not in str(caught.value)
        assert snapshot(finished.run.path) == before

    return check


def test_weights_left_out_are_caught(check_caught, monkeypatch):
    write_source = tflite.write_source

    def without_weights(model, shape, *rest):
        twin = type(model).from_config(model.get_config())
        twin(tf.zeros((1, *shape)))
        write_source(twin, shape, *rest)

    monkeypatch.setattr(tflite, "write_source", without_weights)
    check_caught(r"model_float32.tflite: max_abs_error is .*, allowed 0.0001")


def test_swapped_axes_are_caught(check_caught, monkeypatch):
    answer = tflite.answer

    def swapped(model, x):
        # A wrong layout swaps the rows and columns of a gray image.
        return answer(model, tf.transpose(x, [0, 2, 1, 3]))

    monkeypatch.setattr(tflite, "answer", swapped)
    check_caught(r"model_float32.tflite: .* get another class")


def fake_run(model, data, x=None, outputs=None):
    """The parts of a finished run that a draft of an export needs."""
    split = x if x is None else Split(x, np.zeros(len(x), np.int32))
    return types.SimpleNamespace(
        model=model,
        config={"data": data, "identity": {"seed": 0}},
        dataset=types.SimpleNamespace(train=split, test=split),
        outputs=outputs,
    )


def data_of(model, shape):
    keras.utils.set_random_seed(0)
    model = zoo.create_model(model, input_shape=shape, num_classes=3)
    return model, {"input_shape": list(shape), "num_classes": 3}


def test_swapped_channels_of_colors_are_caught(tmp_path):
    model, data = data_of("convnet", (8, 8, 3))
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype("uint8")
    (file,) = SavedModel.files
    draft = Draft(fake_run(model, data, x, tf.nn.softmax(model(x)).numpy()), tmp_path)
    SavedModel().write(draft)
    assert verify.verify(draft, file)[1] == []
    draft.trained.outputs = tf.nn.softmax(model(x[..., ::-1])).numpy()
    _, problems = verify.verify(draft, file)
    assert any("max_abs_error" in problem for problem in problems)


def test_a_float_operation_in_an_integer_file_is_caught(check_caught, monkeypatch):
    convert = tflite.convert

    def float_inside(source, name, calibration):
        return convert(source, "dynamic" if name == "int8" else name, calibration)

    monkeypatch.setattr(tflite, "convert", float_inside)
    check_caught(r"model_int8.tflite: .*it has float32 tensors")


def test_a_cast_before_the_first_layer_is_caught(check_caught, monkeypatch, finished):
    """A uint8 input with a cast leaves float operations and a scale other than 1."""
    convert = tflite.convert

    def with_cast(source, name, calibration):
        if name != "int8":
            return convert(source, name, calibration)
        archive = keras.export.ExportArchive()
        archive.add_endpoint(
            "serving_default",
            lambda image: {"probabilities": tf.nn.softmax(finished.model(image))},
            input_signature=[tf.TensorSpec((1, 28, 28, 1), tf.uint8, name="image")],
        )
        archive.write_out(f"{source}/cast", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(f"{source}/cast")
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return converter.convert()

    monkeypatch.setattr(tflite, "convert", with_cast)
    check_caught(r"model_int8.tflite: .*float32 tensors")


def test_calibration_on_noise_is_caught(check_caught, monkeypatch):
    noise = np.random.default_rng(0).random((500, 28, 28, 1)).astype("float32")
    monkeypatch.setattr(tflite, "calibration_inputs", lambda train, seed: noise)
    check_caught(r"model_int8.tflite: accuracy_drop is .*, allowed 0.3")


def test_an_operation_that_is_not_built_in_is_named(check_caught, monkeypatch):
    answer = tflite.answer

    def with_flex(model, x):
        return tf.math.igamma(tf.ones((1, 10)), answer(model, x))

    monkeypatch.setattr(tflite, "answer", with_flex)
    check_caught(r"cannot be converted to built-in operations: .*Igamma")


def test_images_that_never_reach_white_are_still_raw_pixels(tmp_path):
    model, data = data_of("mlp", (8, 8, 1))
    dark = np.random.default_rng(0).integers(40, 120, (50, 8, 8, 1)).astype("uint8")
    tflite.FORMAT.write(Draft(fake_run(model, data, dark), tmp_path))
    loaded = export.load(tmp_path / "tflite" / "model_int8.tflite")
    assert loaded.input.quantization == (1.0, 0)
    reference = tf.nn.softmax(model(dark)).numpy()
    np.testing.assert_allclose(loaded(dark), reference, atol=0.05)


def test_calibration_takes_training_images_by_the_seed(digits):
    chosen = tflite.calibration_inputs(digits.train, seed=0)
    assert chosen.shape == (500, 28, 28, 1)
    assert chosen.dtype == np.float32
    train = {image.tobytes() for image in digits.train.x}
    assert all(image.astype("uint8").tobytes() in train for image in chosen)
    again = tflite.calibration_inputs(digits.train, seed=0)
    np.testing.assert_array_equal(chosen, again)
    assert not np.array_equal(chosen, tflite.calibration_inputs(digits.train, seed=1))


@pytest.fixture
def opened(monkeypatch):
    """The calls of artifact.load in order: (file, threads, workers)."""
    load, asked = verify.artifact.load, []

    def recording(path, threads=1, workers=1):
        asked.append((path.name, threads, workers))
        return load(path, threads=threads, workers=workers)

    monkeypatch.setattr(verify.artifact, "load", recording)
    return asked


@pytest.mark.parametrize("cores", [1, 3])
def test_files_are_proved_on_the_cores_that_the_process_may_use(
    copy, opened, monkeypatch, cores
):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(cores))
    export.export_run(TrainedRun(RunDir(copy)))
    # A SavedModel takes no settings, so it is loaded once, like a file on one core.
    assert opened[:2] == [("1", 1, 1), ("model_float32.tflite", 1, 1)]
    of_int8, of_int16 = (
        [tuple(rest) for file, *rest in opened if file == f"model_{name}.tflite"]
        for name in ("int8", "int16x8")
    )
    on_all = [(1, 1)] if cores == 1 else [(1, 1), (1, 3), (3, 1)]
    assert of_int8 == on_all
    assert of_int16 == ([(1, 1)] if cores == 1 else [(1, 1), (1, 3), (3, 3)])


def test_nothing_that_the_run_has_made_is_made_again(copy, finished, monkeypatch):
    made = TrainedRun(
        RunDir(copy),
        dataset=finished.dataset,
        model=finished.model,
        outputs=finished.outputs,
    )
    for module, name in (
        (outcome, "load_run"),
        (outcome, "run_dataset"),
        (scoring, "outputs"),
    ):
        monkeypatch.setattr(module, name, fail)
    content = export.export_run(made, ["saved_model"])
    assert content["artifacts"][0]["name"] == "saved_model"


def test_an_export_without_drawing_keeps_the_pictures_that_are_there(copy):
    (copy / "plots").mkdir(exist_ok=True)
    (copy / "plots" / "curves.png").write_bytes(b"mine")
    export.export_run(copy, ["saved_model"], plots=False)
    assert (copy / "export" / "plots" / "curves.png").read_bytes() == b"mine"
    assert "(plots/curves.png)" in (copy / "export" / "README.md").read_text()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run_dir": "nowhere"}, "There is no run directory nowhere"),
        ({"run_dir": "empty"}, "is not a run: it has no config.json"),
        ({"run_dir": "half"}, "is not finished"),
        ({"run_dir": "run", "formats": "tflit"}, "format 'tflit'.*mean 'tflite'"),
        ({"run_dir": "run", "formats": ""}, "--formats names no format. Known: saved"),
        ({}, "--run_dir is missing"),
        (
            {"run_dir": "run", "formats": "tflite_trainable", "train_batch": "0"},
            "--train_batch must be a whole number, 1 to 1024. Received: 0",
        ),
        ({"run_dir": "run", "tflite_files": "int9"}, "'int9'.*Did you mean 'int8'"),
        ({"run_dir": "run", "tflite_files": ""}, "Unknown TFLite file"),
        (
            {"run_dir": "run", "tflite_files": "int8", "formats": "saved_model"},
            "--tflite_files is for tflite. Received: --tflite_files=int8 with "
            "--formats=saved_model",
        ),
        (
            {"run_dir": "run", "tflite_files": "int8", "formats": "tflite,web"},
            "Add float32, or leave web out",
        ),
    ],
)
def test_bad_requests_get_one_line(command, finished, tmp_path, fields, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("{}")
    (tmp_path / "run").symlink_to(finished.run.path)
    done = command("-m", "export", *(f"--{k}={v}" for k, v in fields.items()))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert re.search(message, done.stderr), done.stderr


def damage(path):
    path.write_bytes(b"PK\x03\x04 not a zip")


def exchange(path):
    zoo.create_model("linear", input_shape=(28, 28, 1), num_classes=10).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "model.keras cannot be loaded"),
        (exchange, "is not the model that .*result.json is about"),
    ],
)
def test_a_model_that_is_not_that_of_the_run_is_refused(copy, spoil, message):
    spoil(copy / "model.keras")
    before = snapshot(copy)
    with pytest.raises(UserError, match=message):
        export.export_run(copy)
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
    # A process that is killed between the two renames leaves the earlier export aside.
    (tmp_path / ".export.old").mkdir()
    (tmp_path / ".export.old" / "good").write_text("")
    with pytest.raises(ZeroDivisionError), exporter._replacing(target):
        fail()
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert left == ["export", "export/good"]
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
    with pytest.raises(RunError, match="No space"), exporter._replacing(target):
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
def test_what_was_changed_is_not_carried_over(copy, fault):
    path = copy / "export" / "saved_model" / "1" / "saved_model.pb"
    if fault == "change":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        shutil.rmtree(path.parent)
    with pytest.raises(UserError, match="is not what was exported"):
        export.export_run(copy, ["tflite"])
    export.export_run(copy, ["saved_model"])


def test_a_full_disk_is_one_line_and_leaves_the_earlier_export(copy, command):
    """RLIMIT_FSIZE keeps files from growing beyond 200 kB."""
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


@pytest.mark.parametrize("formats", [[], ["none"], ["bogus"]])
def test_formats_are_checked_in_python_too(finished, formats):
    with pytest.raises(UserError, match="format"):
        export.export_run(finished.run.path, formats)


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
        loaded = export.load(finished.run.path / "export" / name)
        with pytest.raises(UserError, match=message):
            loaded(batch)
        assert loaded(batch[:0].astype("uint8")).shape == (0, 10)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" * 9])
def test_a_file_that_is_no_tflite_is_refused(tmp_path, content):
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"a.tflite cannot be loaded"):
        export.load(tmp_path / "a.tflite")


def test_inputs_of_another_shape_are_refused(finished):
    loaded = export.load(finished.run.path / "export" / "saved_model" / "1")
    with pytest.raises(UserError, match=r"\(n, 28, 28, 1\). Received: \(28, 28\)"):
        loaded(np.zeros((28, 28)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_target_that_cannot_be_written_is_refused(copy):
    copy.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        export.export_run(copy)
    copy.chmod(0o700)


def test_a_file_that_was_verified_on_fewer_examples_is_named(copy, monkeypatch):
    files = [
        dataclasses.replace(file, examples=100 if file.name == "int16x8" else None)
        for file in tflite.TFLite.files
    ]
    monkeypatch.setattr(tflite.TFLite, "files", tuple(files))
    content = export.export_run(copy, ["tflite"], tflite_files="int16x8", plots=False)
    said = (
        "the whole test split, model_int16x8.tflite on 100 evenly spaced examples of it"
    )
    assert content["tested_on"] == said
    assert f"over {said}." in (copy / "export" / "README.md").read_text()


def test_the_files_that_a_failed_export_suggests_were_all_asked_for(copy, monkeypatch):
    monkeypatch.setattr(verify, "bound_problems", lambda *_: ["too far off"])
    with pytest.raises(RunError, match="too far off.* --tflite_files=float16$"):
        export.export_run(copy, ["tflite"], tflite_files="float32,float16")
