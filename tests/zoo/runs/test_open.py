"""Tests what ``zoo.open`` opens, and how it predicts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import export
import zoo
from zoo.errors import UserError


def test_a_run_its_file_and_a_file_alone_predict_the_same(trained_run, tmp_path):
    images = trained_run.dataset.test.x[:30]
    expected = trained_run.outputs[:30]
    shutil.copy(trained_run.run.model, tmp_path / "alone.keras")
    for source in (
        trained_run.run.path,
        str(trained_run.run.model),
        tmp_path / "alone.keras",
    ):
        opened = zoo.open(source)
        assert opened.input_shape == (28, 28, 1)
        assert opened.class_names == tuple("0123456789")
        np.testing.assert_allclose(opened.predict(images), expected, atol=1e-6)
        np.testing.assert_allclose(opened.predict(list(images)), expected, atol=1e-6)
    with pytest.raises(UserError, match=r"alone.keras lies in no run directory. Pass"):
        zoo.open(tmp_path / "alone.keras").evaluate()
    found = zoo.open(trained_run.run.path).evaluate()
    assert found["accuracy"] == pytest.approx(trained_run.result["test"]["accuracy"])


def test_a_file_becomes_the_pixels_that_pillow_reads(trained_run, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    opened = zoo.open(trained_run.run.path)
    gray = np.asarray(Image.fromarray(image).convert("L"))
    ((path, name, probability),) = zoo.predict(trained_run.run.path, tmp_path / "a.png")
    row = opened(gray[None, :, :, None])[0]
    assert (path, name) == (str(tmp_path / "a.png"), str(row.argmax()))
    assert probability == pytest.approx(row.max(), abs=1e-3)


def test_more_images_than_a_batch_are_answered_in_order(trained_run, capsys):
    images = trained_run.dataset.test.x[:230]
    said = zoo.open(trained_run.run.path).predict(list(images), progress=True)
    np.testing.assert_allclose(said, trained_run.outputs[:230], atol=1e-5)
    assert "230/230" in capsys.readouterr().out


def test_images_of_swapped_polarity_are_warned_of_and_can_be_inverted(
    trained_run, capsys
):
    image = trained_run.dataset.test.x[0]
    opened = zoo.open(trained_run.run.path)
    expected = opened.predict([image])
    assert capsys.readouterr().err == ""
    swapped = opened.predict([255 - image], invert=True)
    np.testing.assert_allclose(swapped, expected)
    assert capsys.readouterr().err == ""
    opened.predict([image, 255 - image])
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 of 2 images, such as image 1, are much darker or lighter" in line
    assert line.endswith("If black and white are swapped, pass --invert.")


def test_all_images_that_do_not_decode_are_named(trained_run, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("x")
    paths = [str(tmp_path / name) for name in ("empty.png", "text.jpg", "none.png")]
    match = f"^{paths[0]} is empty. {paths[1]} is not a PNG.* {paths[2]} cannot be read"
    with pytest.raises(UserError, match=match):
        zoo.predict(trained_run.run.path, paths)


def test_what_does_not_exist_is_answered_with_what_is_there(trained_run, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(trained_run.run.path)
    runs = str(tmp_path / "runs")
    with pytest.raises(UserError, match=f"'{runs}/min'. Known: .*mean '{runs}/mine'"):
        zoo.open(f"{runs}/min")
    with pytest.raises(UserError, match="Known: .*mlp/mnist.*mean 'resnet/cifar10"):
        zoo.open("cifar10")
    gone = f"{runs}/gone/export/tflite/model_int8.tflite"
    with pytest.raises(UserError, match=f"no exported file {gone}. In {runs} are: min"):
        zoo.open(gone)
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(UserError, match="ends in .keras or .tflite. Received: .*note"):
        zoo.open(tmp_path / "note.txt")


def test_a_directory_for_tensorflow_serving_is_opened_at_its_newest_version(
    trained_run, tmp_path
):
    run = shutil.copytree(trained_run.run.path, tmp_path / "run")
    export.export_run(run, ["saved_model"], plots=False)
    newer = run / "export" / "saved_model" / "12"
    shutil.copytree(newer.with_name("1"), newer)
    opened = zoo.open(run / "export" / "saved_model")
    assert opened.artifact.path == newer
    images = trained_run.dataset.test.x[:20]
    np.testing.assert_allclose(
        opened.predict(images), trained_run.outputs[:20], atol=1e-5
    )


@pytest.mark.parametrize("spoil", [lambda x: x / 255, lambda x: x[0]])
def test_an_array_that_is_not_of_raw_pixels_is_told_once(trained_run, spoil):
    images = spoil(trained_run.dataset.test.x[:30])
    with pytest.raises(
        UserError, match=r"raw pixels 0..255. Received: \w+ \([\d, ]+\)"
    ):
        zoo.open(trained_run.run.path).predict(images)


def test_without_images_nothing_is_predicted():
    assert zoo.predict("linear/mnist", []) == []
