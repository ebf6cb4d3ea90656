"""Reads every model's SavedModel and TFLite files without the code of the export."""

from __future__ import annotations

import pathlib
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

import export
import zoo
from export.formats import TFLITE_FILES
from tests.export.conftest import FILES, ask, records
from zoo.data import decode, folder
from zoo.errors import UserError


def models():
    """Returns the parameters of a test over all models."""
    # Deep networks, which take minutes. The tests of trainable files convert one, too.
    slow = ("efficientnet_lite", "mobilenet_v2")
    return [
        pytest.param(name, marks=[pytest.mark.slow] * (name in slow))
        for name in zoo.list_models()
    ]


@pytest.mark.parametrize("name", models())
def test_the_saved_model_serves_what_keras_computes(name, runs):
    run, test = runs(name).run.path, runs(name).dataset.test
    model = zoo.load_run(run)
    loaded = tf.saved_model.load(str(run / "export" / "saved_model" / "1"))
    serve = loaded.signatures["serving_default"]
    (spec,) = serve.structured_input_signature[1].values()
    assert (spec.name, spec.dtype, spec.shape.rank) == ("image", tf.uint8, 4)
    assert spec.shape[0] is None
    outputs = {k: (v.dtype, v.shape[1:]) for k, v in serve.structured_outputs.items()}
    assert outputs == {
        "logits": (tf.float32, (10,)),
        "probabilities": (tf.float32, (10,)),
        "class_id": (tf.int64, ()),
    }
    x = test.x[:50]
    answer = serve(image=tf.constant(x))
    logits = model(x).numpy()
    np.testing.assert_allclose(answer["logits"], logits, atol=1e-4)
    np.testing.assert_allclose(
        answer["probabilities"], tf.nn.softmax(logits), atol=1e-5
    )
    np.testing.assert_array_equal(answer["class_id"], logits.argmax(axis=1))

    layer = keras.layers.TFSMLayer(
        str(run / "export" / "saved_model" / "1"), call_endpoint="serving_default"
    )
    np.testing.assert_allclose(layer(x)["logits"], logits, atol=1e-4)


def test_the_saved_model_holds_each_weight_once(runs):
    folder = runs("mlp").run.export / "saved_model" / "1" / "variables"
    size = (folder / "variables.data-00000-of-00001").stat().st_size
    assert size == pytest.approx(4 * 235_146, rel=0.01)


def test_encoded_images_of_any_size_are_served(runs, digits):
    loaded = tf.saved_model.load(str(runs("mlp").run.export / "saved_model" / "1"))
    small, large = digits.test.x[0], tf.image.resize(digits.test.x[1], (91, 60))
    large = tf.cast(large, tf.uint8)
    rgb = tf.image.grayscale_to_rgb(tf.constant(digits.test.x[2]))
    encoded = [
        tf.io.encode_png(small).numpy(),
        tf.io.encode_jpeg(large, quality=100).numpy(),
        tf.io.encode_png(rgb).numpy(),
    ]
    answer = loaded.signatures["serve_bytes"](image_bytes=tf.constant(encoded))
    decoded = np.stack([decode.decode(tf.constant(e), 28, 28, 1) for e in encoded])
    np.testing.assert_array_equal(decoded[0], small)
    np.testing.assert_array_equal(decoded[2], digits.test.x[2])
    expected = loaded.signatures["serving_default"](image=tf.constant(decoded))
    np.testing.assert_allclose(answer["logits"], expected["logits"], atol=1e-5)
    assert list(answer["class_id"].numpy()) == list(digits.test.y[:3])


@pytest.mark.parametrize("variant", FILES)
@pytest.mark.parametrize("name", models())
def test_a_tflite_file_is_what_it_says(name, variant, runs):
    check_tflite(runs(name), variant)


def test_a_file_of_16_and_8_bits_is_what_it_says(runs):
    check_tflite(runs("mlp"), "int16x8")


def check_tflite(trained, variant):
    """Asks a file with LiteRT alone, and compares it with Keras and its record."""
    path = trained.run.export / "tflite" / f"model_{variant}.tflite"
    test = trained.dataset.test
    outputs, runtime = ask(path, test.x)
    assert runtime.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    (source,), (sink,) = runtime.get_input_details(), runtime.get_output_details()
    dtype = np.uint8 if variant == "int8" else np.float32
    assert (source["dtype"], sink["dtype"]) == (dtype, dtype)
    assert list(source["shape"]) == [1, *test.x.shape[1:]]
    assert list(sink["shape"]) == [1, 10]
    if variant == "int8":
        assert source["quantization"] == (1.0, 0)
        assert sink["quantization"] == (1 / 256, 0)
    operations = {op["op_name"] for op in runtime._get_ops_details()}
    assert not any(op.startswith(("Flex", "CUSTOM")) for op in operations)
    dtypes = {np.dtype(t["dtype"]) for t in runtime.get_tensor_details()}
    floats = {d for d in dtypes if d.kind == "f"}
    if variant == "int8":
        assert not floats
        assert np.dtype(np.int8) in dtypes
    if variant == "float16":
        assert np.dtype(np.float16) in dtypes

    reference = trained.outputs
    tolerance = {"float32": 1e-4, "float16": 1e-2}.get(variant, 0.2)
    np.testing.assert_allclose(outputs, reference, atol=tolerance)
    agreement = (outputs.argmax(axis=1) == reference.argmax(axis=1)).mean()
    assert agreement >= (1.0 if variant == "float32" else 0.9)

    record = records(trained)[variant]
    assert record.agreement == pytest.approx(agreement)
    accuracy = (outputs.argmax(axis=1) == test.y).mean()
    assert record.accuracy == pytest.approx(accuracy)
    assert record.max_abs_error == pytest.approx(
        np.abs(outputs - reference).max(), rel=0.05, abs=1e-6
    )


def test_sizes_follow_the_weights(runs):
    sizes = {name: record.bytes for name, record in records(runs("mlp")).items()}
    assert sizes["float16"] < 0.55 * sizes["float32"]
    for variant in ("dynamic", "int8", "int16x8"):
        assert sizes[variant] < 0.3 * sizes["float32"]


def test_the_export_directory_is_complete(runs, digits):
    trained = runs("mlp")
    directory, found = trained.run.export, records(trained)
    assert list(found) == ["saved_model", *TFLITE_FILES, "trainable"]
    for record in found.values():
        assert record.sha256 == zoo.files.checksum(directory / record.path)
        assert record.bytes == zoo.files.size(directory / record.path)
        assert record.examples == len(digits.test.y)
        assert record.latency_ms["threads"] == 1
        assert 0 < record.latency_ms["median"] <= record.latency_ms["p95"]
    calibration = {"split": "train", "examples": 500, "seed": 0}
    assert found["int8"].details == {"calibration": calibration}
    labels = (directory / "tflite" / "labels.txt").read_text().splitlines()
    assert labels == list(digits.spec.class_names)

    card = (directory / "README.md").read_text()
    assert f"{trained.result['test']['accuracy']:.2%}" in card
    assert "95% interval" in card
    for record in found.values():
        assert f"{record.bytes:,}" in card
    for language in ("Python", "TF Serving", "Kotlin", "Swift", "C++", "JavaScript"):
        assert f"### {language}" in card
    assert "CC BY 4.0" in card


def test_a_regression_is_not_exported_to_files_that_it_cannot_have(regression):
    with pytest.raises(UserError, match="tflite: a regression has no pixels to calib"):
        export.export_run(regression, ["tflite"], tflite_files="int8")


def test_linear_regression_gets_what_applies(regression):
    content = export.export_run(regression)
    directory = regression.run.export
    names = [record["name"] for record in content["artifacts"]]
    assert names == ["saved_model", "float32", "float16", "dynamic"]
    assert not (directory / "tflite" / "labels.txt").exists()
    weight, bias = regression.result["learned"].values()
    x = np.float32([[-1.5], [0.0], [2.5]])
    for record in content["artifacts"]:
        loaded = export.load(directory / record["path"])
        assert (loaded.input.name, loaded.output.name) == ("x", "y")
        np.testing.assert_allclose(loaded(x), weight * x + bias, atol=1e-2)
    loaded = tf.saved_model.load(str(directory / "saved_model" / "1"))
    y = loaded.signatures["serving_default"](x=tf.constant(x))["y"]
    np.testing.assert_allclose(y, weight * x + bias, atol=1e-5)


def test_any_file_is_one_callable(runs, digits):
    run, reference = runs("mlp").run, runs("mlp").outputs
    images = digits.test.x[:100]
    for record in records(runs("mlp")).values():
        loaded = export.load(run.export / record.path)
        assert re.search(r"image \w+ \(\w+, 28, 28, 1\) -> probab", repr(loaded))
        outputs = loaded(images)
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, reference[:100], atol=0.2)
        # Pixels of another dtype give the same result.
        same = loaded(images[:5].astype("int64"))
        np.testing.assert_allclose(same, outputs[:5], atol=1e-6)
        assert loaded(images[:0]).shape == (0, 10)
        with pytest.raises(UserError, match="0 to 255. Received: 300 to 300"):
            loaded(np.full((2, 28, 28, 1), 300))
        with pytest.raises(UserError, match="takes finite numbers"):
            loaded(np.full((2, 28, 28, 1), np.nan))


def test_any_file_is_evaluated_and_asked(runs, digits, tmp_path):
    trained, image = runs("mlp"), str(tmp_path / "a.png")
    tf.io.write_file(image, tf.io.encode_png(digits.test.x[0]))
    int8 = trained.run.export / "tflite" / "model_int8.tflite"
    (tmp_path / "link.tflite").symlink_to(int8)  # its path only passes through a run
    for path in (int8, tmp_path / "link.tflite"):
        found = zoo.open(path).evaluate()
        assert found["accuracy"] == pytest.approx(records(trained)["int8"].accuracy)
        assert found["examples"] == 360

    # For a copy outside of any run, only the labels are known.
    for name in ("model_int8.tflite", "labels.txt"):
        shutil.copy(int8.with_name(name), tmp_path)
    copied = tmp_path / "model_int8.tflite"
    ((_, name, _),) = zoo.predict(copied, image)
    assert name == trained.class_names[export.load(int8)(digits.test.x[:1]).argmax()]
    with pytest.raises(UserError, match="lies in no run directory. Pass --dataset"):
        zoo.open(copied).evaluate()


def test_training_exports_by_default(call, data_dir, tmp_path):
    flags = ["--model=linear", "--dataset=digits", f"--data_dir={data_dir}"]
    done = call("train", *flags, "--epochs=1", "--noplots")
    assert done.returncode == 0, done.stderr
    assert "tflite/model_int8.tflite" in done.stdout
    exported = tmp_path / "runs" / "linear-digits" / "export"
    assert {path.name for path in exported.iterdir()} == {
        "README.md",
        "export.json",
        "sample.png",
        "saved_model",
        "tflite",
    }


KINDS = {
    "jpg": {"quality": 90},
    "webp": {"quality": 90},
    "bmp": {},
    "gif": {},
    "png": {},
}


def test_training_predict_and_serve_bytes_see_the_same_pixels(train, tmp_path):
    """Uses several kinds, sizes and EXIF orientations of photographs."""
    draw = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, image in zip("ab", load_sample_images().images, strict=True):
        (tmp_path / name).mkdir()
        for i, (kind, options) in enumerate([*KINDS.items()] * 4):
            y, x = draw.integers(0, 200, 2)
            height, width = draw.integers(40, 200, 2)
            piece = Image.fromarray(image[y : y + height, x : x + width])
            options = options | ({"exif": turned} if kind == "jpg" else {})
            piece.save(tmp_path / name / f"{i}.{kind}", **options)
    trained = train("linear", str(tmp_path), image_size=(24, 32))
    export.export_run(trained, ["saved_model"], plots=False)
    paths = [path for path, _ in folder.scan(tmp_path).test]
    assert {pathlib.Path(path).suffix for path in paths} >= {".jpg", ".webp"}
    saved = trained.run.export / "saved_model" / "1"
    encoded = tf.constant([pathlib.Path(path).read_bytes() for path in paths])
    signatures = tf.saved_model.load(str(saved)).signatures
    served = signatures["serve_bytes"](image_bytes=encoded)["probabilities"]
    for answers in (
        served,
        zoo.open(trained.run.path).predict(paths),
        zoo.open(saved).predict(paths),
    ):
        np.testing.assert_allclose(answers, trained.outputs, atol=1e-5)
