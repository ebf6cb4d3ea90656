"""Plants faults in exports: each is caught, and no file with a fault is published."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shutil
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import export
import zoo
from export import card, formats, tflite, verify
from export.formats import TFLITE_FILES
from tests.conftest import ROOT
from tests.export.conftest import changed, records, snapshot
from zoo import registry
from zoo.commands.train import missing_formats
from zoo.errors import RunError, UserError


@pytest.fixture
def check_caught(small):
    """Checks that an export of one file fails with one line and changes nothing."""

    def check(file, message):
        before = snapshot(small.run.path)
        with pytest.raises(RunError, match=message) as caught:
            export.export_run(small, ["tflite"], tflite_files=file)
        assert "\n" not in str(caught.value)
        assert snapshot(small.run.path) == before

    return check


def test_weights_left_out_are_caught(check_caught, monkeypatch):
    write_source = tflite.write_source

    def without_weights(model, shape, directory):
        twin = type(model).from_config(model.get_config())
        twin(tf.zeros((1, *shape)))
        write_source(twin, shape, directory)

    monkeypatch.setattr(tflite, "write_source", without_weights)
    check_caught("float32", r"model_float32.tflite .*_error is .*, allowed 0.0001")


def test_swapped_axes_are_caught(check_caught, monkeypatch):
    answer = tflite.answer

    def swapped(model, x):
        # A wrong layout swaps the rows and columns of a gray image.
        return answer(model, tf.transpose(x, [0, 2, 1, 3]))

    monkeypatch.setattr(tflite, "answer", swapped)
    check_caught("float32", "model_float32.tflite .* get another class")


def test_a_float_operation_in_an_integer_file_is_caught(check_caught, monkeypatch):
    convert = tflite.convert
    monkeypatch.setattr(
        tflite, "convert", lambda source, name, some: convert(source, "dynamic", some)
    )
    check_caught("int8", "model_int8.tflite .*it has float32 tensors")


def test_calibration_on_noise_is_caught(check_caught, monkeypatch):
    noise = np.random.default_rng(0).random((500, 12, 12, 1)).astype("float32")
    monkeypatch.setattr(tflite, "calibration_inputs", lambda train, seed: noise)
    check_caught("int8", "model_int8.tflite .*accuracy_drop is .*, allowed")


def test_an_operation_that_is_not_built_in_is_named(check_caught, monkeypatch):
    answer = tflite.answer

    def with_flex(model, x):
        return tf.math.igamma(tf.ones((1, 10)), answer(model, x))

    monkeypatch.setattr(tflite, "answer", with_flex)
    check_caught("float32", "cannot be converted to built-in operations: .*Igamma")


@pytest.fixture
def float32_fails(monkeypatch):
    """Lets the file float32 miss its bounds."""
    found = verify.verify

    def missed(run, path, file):
        measured, problems = found(run, path, file)
        return measured, ["too far off"] if file.name == "float32" else problems

    monkeypatch.setattr(verify, "verify", missed)


MISSED = "tflite/model_float32.tflite was left out: too far off."


def test_a_file_that_misses_is_left_out_and_the_others_are_exported(
    small, float32_fails
):
    directory = small.run.export
    with pytest.raises(RunError) as caught:
        export.export_run(small, ["tflite"], tflite_files="float32,float16,dynamic")
    files = [f"tflite/model_{name}.tflite" for name in ("float16", "dynamic")]
    assert str(caught.value) == f"{MISSED} Exported to {directory}: {', '.join(files)}."
    # The version of an earlier export is gone, too.
    assert {path.name for path in (directory / "tflite").iterdir()} == {
        "labels.txt",
        "model_float16.tflite",
        "model_dynamic.tflite",
    }
    assert list(records(small)) == ["float16", "dynamic"]
    content = json.loads((directory / "export.json").read_text())
    assert content["left_out"] == [
        {
            "name": "float32",
            "format": "tflite",
            "path": "tflite/model_float32.tflite",
            "reason": "too far off",
        }
    ]
    text = (directory / "README.md").read_text()
    assert "\n- `tflite/model_float32.tflite`: too far off.\n" in text
    assert MISSED in card.summary(small.run.path).splitlines()


def test_what_was_left_out_is_listed_until_it_is_exported(
    small, float32_fails, monkeypatch
):
    with pytest.raises(RunError, match="was left out"):
        export.export_run(small, ["tflite"], tflite_files="float32,float16")
    monkeypatch.undo()
    assert missing_formats(small, ["tflite"]) == ["tflite"]
    content = export.export_run(small, ["saved_model"], plots=False)
    assert [each["name"] for each in content["left_out"]] == ["float32"]
    content = export.export_run(small, ["tflite"], tflite_files="float32", plots=False)
    assert content["left_out"] == []
    assert missing_formats(small, ["tflite"]) == []
    assert "left out" not in (small.run.export / "README.md").read_text()


def test_if_all_files_miss_an_earlier_export_stays(small, float32_fails):
    before = snapshot(small.run.path)
    with pytest.raises(RunError) as caught:
        export.export_run(small, ["tflite"], tflite_files="float32")
    assert str(caught.value) == f"{MISSED} Nothing was exported."
    assert snapshot(small.run.path) == before


@pytest.mark.parametrize("name", ["export", "train"])
def test_a_command_that_leaves_a_file_out_prints_the_rest_and_exits_with_1(
    name, call, data_dir, tmp_path, float32_fails
):
    place = tmp_path / "runs" / "linear-digits"
    flags = ["--model=linear", "--dataset=digits", f"--data_dir={data_dir}"]
    flags += ["--epochs=1", "--noplots"]
    if name == "export":
        assert call("train", *flags, "--export=none").returncode == 0
        flags = [f"--run_dir={place}", "--formats=tflite"]
    else:
        flags.append("--export=tflite")
    done = call(name, *flags)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: {MISSED} Exported to ")
    table = done.stdout.splitlines()
    assert MISSED in table
    assert any(line.startswith("tflite/model_int8.tflite ") for line in table)
    assert not (place / "export" / "tflite" / "model_float32.tflite").exists()


def test_images_that_never_reach_white_are_still_raw_pixels(tmp_path):
    keras.utils.set_random_seed(0)
    model = zoo.create_model("mlp", input_shape=(8, 8, 1), num_classes=3)
    dark = np.random.default_rng(0).integers(40, 120, (50, 8, 8, 1)).astype("uint8")
    tflite.write_source(model, (8, 8, 1), str(tmp_path))
    content = tflite.convert(str(tmp_path), "int8", dark.astype("float32"))
    (tmp_path / "a.tflite").write_bytes(content)
    loaded = export.load(tmp_path / "a.tflite")
    assert loaded.input.quantization == (1.0, 0)
    np.testing.assert_allclose(loaded(dark), tf.nn.softmax(model(dark)), atol=0.05)


def test_calibration_takes_training_images_by_the_seed(digits):
    chosen = tflite.calibration_inputs(digits.train, seed=0)
    assert chosen.shape == (500, 28, 28, 1)
    train = {image.tobytes() for image in digits.train.x}
    assert all(image.astype("uint8").tobytes() in train for image in chosen)
    assert not np.array_equal(chosen, tflite.calibration_inputs(digits.train, seed=1))


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        (["none"], {}, "--formats names no format. Known: saved_model"),
        (["tflit"], {}, "export format 'tflit'.*mean 'tflite'"),
        (["tflite"], {"tflite_files": "int9"}, "'int9'.*Did you mean 'int8'"),
        (
            ["tflite"],
            {"train_batch": 8},
            "--train_batch is for tflite_trainable. Received: --train_batch=8 with "
            "--formats=tflite. Add it to --formats",
        ),
        (["tflite_trainable"], {"train_batch": 0}, "1 to 1024. Received: 0"),
        (["tflite_trainable"], {"train_batch": 1025}, "1 to 1024. Received: 1025"),
        (
            ["tflite_trainable"],
            {"device_optimizer": "adam"},
            "--device_optimizer must be sgd or momentum",
        ),
    ],
)
def test_a_bad_request_is_refused(small, asked, options, message):
    with pytest.raises(UserError, match=message):
        export.export_run(small, asked, **options)


def test_a_model_is_not_a_run(small):
    with pytest.raises(UserError, match="takes a finished run, .* Received: Three"):
        export.export_run(small.model, ["tflite"])


def test_an_option_that_no_format_has_is_refused(small):
    with pytest.raises(TypeError, match="No format has the option 'tflite_file'"):
        export.export_run(small, ["tflite"], tflite_file="int8")


def test_the_format_of_the_guide_works(small, monkeypatch):
    guide = (ROOT / "docs" / "export.md").read_text().partition("## Adding a format")[2]
    code, entry = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    module = types.ModuleType("export.arrays")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(formats.FORMATS, "arrays", eval(entry, vars(formats)))
    export.export_run(small, ["arrays"], array_type="float16", plots=False)
    assert list(records(small)) == ["float32", "weights"]
    assert records(small)["weights"].details == {"arrays": 6}
    saved = np.load(small.run.export / "weights.npz")
    assert {array.dtype for array in saved.values()} == {np.dtype("float16")}
    assert "weights: weights.npz, " in card.summary(small.run.path)


def test_a_model_that_is_not_that_of_the_run_is_refused(small):
    other = zoo.create_model("linear", input_shape=(12, 12, 1), num_classes=10)
    other.save(small.run.model)
    with pytest.raises(UserError, match="is not the model that .*result.json is about"):
        export.export_run(small.run.path, ["tflite"])


def test_a_changed_file_is_told(small):
    path = small.run.export / "tflite" / "model_float32.tflite"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match="was changed since it was exported: its sha"):
        zoo.open(path)


def test_an_edited_export_json_is_refused(small):
    path = small.run.export / "export.json"
    path.write_text(path.read_text().replace('"sha256"', '"hash"'))
    with pytest.raises(UserError, match="export.json cannot be used: .*Delete it and"):
        export.export_run(small, ["tflite"])


def test_formats_are_exported_one_after_the_other(small):
    export.export_run(small, ["saved_model"], plots=False)
    assert list(records(small)) == ["saved_model", "float32"]
    # A file that is no longer there is not listed any more.
    shutil.rmtree(small.run.export / "saved_model" / "1")
    export.export_run(small, ["tflite"], tflite_files="float16", plots=False)
    assert list(records(small)) == ["float16"]


def test_only_the_files_that_are_asked_for_and_those_of_the_user_stay(small, capsys):
    folder = small.run.export / "tflite"
    (folder / "notes.txt").write_text("mine")
    export.export_run(small, ["tflite"], tflite_files="dynamic,float16", plots=False)
    assert {path.name for path in folder.iterdir()} == {
        "labels.txt",
        "model_dynamic.tflite",
        "model_float16.tflite",
        "notes.txt",
    }
    assert capsys.readouterr().out.splitlines() == [
        f"verified tflite/model_{name}.tflite" for name in ("float16", "dynamic")
    ]


def test_an_architecture_chooses_the_files_unless_the_user_does(small, monkeypatch):
    architecture = registry.get_architecture("mlp")
    fewer = dataclasses.replace(architecture, tflite_files=("float16", "dynamic"))
    monkeypatch.setitem(registry._ARCHITECTURES, "mlp", fewer)
    export.export_run(small, ["tflite"], plots=False)
    assert list(records(small)) == ["float16", "dynamic"]
    export.export_run(small, ["tflite"], tflite_files="float32", plots=False)
    assert list(records(small)) == ["float32"]


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_files_that_an_architecture_names_exist(name):
    assert {*(registry.get_architecture(name).tflite_files or ())} <= {*TFLITE_FILES}


def test_files_of_other_weights_are_removed(small):
    small.model.save(small.run.model)  # the same weights in a file with other bytes
    export.export_run(small, ["saved_model"], plots=False)
    assert list(records(small)) == ["saved_model"]
    assert not (small.run.export / "tflite" / "model_float32.tflite").exists()


def test_a_file_that_was_changed_is_not_listed_again(small):
    path = small.run.export / "tflite" / "model_float32.tflite"
    path.write_bytes(path.read_bytes() + b"x")
    export.export_run(small, ["saved_model"], plots=False)
    assert list(records(small)) == ["saved_model"]


def test_a_killed_export_leaves_no_file_listed_that_is_not_verified(small, monkeypatch):
    replace = pathlib.Path.replace

    def interrupted(path, other):
        if path.name == "README.md" and other.parent == small.run.export:
            raise KeyboardInterrupt
        return replace(path, other)

    monkeypatch.setattr(pathlib.Path, "replace", interrupted)
    again = {"formats": ["tflite"], "tflite_files": "float32", "plots": False}
    with pytest.raises(KeyboardInterrupt):
        export.export_run(small, **again)
    monkeypatch.undo()
    assert records(small) == {}
    # A process that is killed also leaves its own directory behind.
    (small.run.path / ".export.new" / "tflite").mkdir(parents=True)
    (small.run.path / ".export.new" / "tflite" / "model_int8.tflite").touch()
    export.export_run(small, **again)
    assert list(records(small)) == ["float32"]
    assert not (small.run.export / "tflite" / "model_int8.tflite").exists()
    assert not (small.run.path / ".export.new").exists()


def test_a_full_disk_is_one_line_and_leaves_the_earlier_export(small, command):
    """RLIMIT_FSIZE keeps files from growing beyond 100 kB."""
    before = snapshot(small.run.path)
    code = (
        "import resource, signal, sys, runpy;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        f"sys.argv = ['export', '--run_dir={small.run.path}'];"
        "runpy.run_module('export', run_name='__main__', alter_sys=True)"
    )
    done = command("-c", code)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"Writing to {small.run.export} failed: " in done.stderr
    assert snapshot(small.run.path) == before


def test_an_export_without_drawing_keeps_the_pictures_that_are_there(small):
    small.run.plots.mkdir(exist_ok=True)
    (small.run.plots / "curves.png").write_bytes(b"mine")
    export.export_run(small, ["tflite"], tflite_files="float32", plots=False)
    assert (small.run.export / "plots" / "curves.png").read_bytes() == b"mine"
    assert "(plots/curves.png)" in (small.run.export / "README.md").read_text()


def test_a_file_that_was_verified_on_fewer_examples_is_named(small, monkeypatch):
    fewer = changed("tflite", "float16", examples=100)
    monkeypatch.setitem(formats.FORMATS, "tflite", fewer)
    content = export.export_run(small, ["tflite"], tflite_files="float16", plots=False)
    said = (
        "the whole test split, model_float16.tflite on 100 evenly spaced examples of it"
    )
    assert content["tested_on"] == said
    assert f"over {said}." in (small.run.export / "README.md").read_text()


@pytest.mark.parametrize("content", [b"", b"\x1c\x00\x00\x00TFL3" * 9])
def test_a_file_that_is_no_tflite_is_refused(tmp_path, content):
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"a.tflite cannot be loaded"):
        export.load(tmp_path / "a.tflite")
