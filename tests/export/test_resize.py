"""Tests that training, predict, the exports and the card resize an image alike."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import export
import zoo
from export import web
from tests.export.conftest import records, run_code
from zoo.runs.run import open_run

SIZES = [(48, 64), (64, 48), (31, 47), (20, 24)]
HEIGHT, WIDTH = 20, 24


def photo(size, label):
    """Returns a smooth image, bright at its left or at its right."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / np.reshape(size, (2, 1, 1))
    waves = [(x if label else 1 - x) * 200, 90 + 80 * np.sin(9 * y), 60 + 90 * y]
    return Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8))


def with_pillow(image, how):
    """Resizes an image by Pillow: the sizes and margins by hand."""
    target, bilinear = (WIDTH, HEIGHT), Image.Resampling.BILINEAR
    if image.size == target:
        return np.asarray(image)
    scales = [new / old for new, old in zip(target, image.size, strict=True)]
    if how == "crop":
        wide, high = (int(new / max(scales) + 0.5) for new in target)
        left, top = (image.width - wide) // 2, (image.height - high) // 2
        image = image.crop((left, top, left + wide, top + high))
    if how != "pad":
        return np.asarray(image.resize(target, bilinear))
    wide, high = (int(old * min(scales) + 0.5) for old in image.size)
    result = Image.new("RGB", target)
    corner = (WIDTH - wide) // 2, (HEIGHT - high) // 2
    result.paste(image.resize((wide, high), bilinear), corner)
    return np.asarray(result)


@pytest.fixture(scope="module", params=["stretch", "crop", "pad"])
def trained(request, train, tmp_path_factory):
    """A run on images of several shapes, exported, and the directory of the images."""
    root = tmp_path_factory.mktemp(request.param)
    for split in ("train", "test"):
        for label, name in enumerate(("left", "right")):
            for i, size in enumerate(SIZES * 5):
                path = root / split / name / f"{i:02}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                photo(size, label).save(path)
    run = train(
        "linear", str(root), epochs=3, image_size=(HEIGHT, WIDTH), resize=request.param
    )
    export.export_run(run, ["saved_model", "tflite"], plots=False)
    return run, root


def test_training_takes_the_pixels_that_pillow_makes(trained):
    run, root = trained
    assert json.loads(run.run.config.read_text())["identity"]["resize"] == run.resize
    # The dataset is read again, as for an evaluation.
    for split in (run.dataset.train, open_run(run.run.path).dataset.train):
        paths = sorted(root.glob("train/*/*.png"))
        for image, path in zip(split.x, paths, strict=True):
            expected = with_pillow(Image.open(path), run.resize).astype(int)
            assert np.abs(image - expected).max() <= 1


def test_predict_and_serve_bytes_take_the_same_pixels(trained):
    run, root = trained
    paths = sorted(root.glob("test/*/*.png"))
    expected = run(run.dataset.test.x)
    tflite = run.run.export / "tflite" / "model_float32.tflite"
    for source in (run.run.path, tflite):
        opened = zoo.open(source)
        assert opened.resize == run.resize
        np.testing.assert_allclose(opened.predict(paths), expected, atol=1e-5)
        arrays = [np.asarray(Image.open(path)) for path in paths]
        np.testing.assert_allclose(opened.predict(arrays), expected, atol=1e-5)
        test = opened.read_dataset(str(root)).test
        np.testing.assert_array_equal(test.x, run.dataset.test.x)
    loaded = tf.saved_model.load(str(run.run.export / "saved_model" / "1"))
    content = tf.constant([path.read_bytes() for path in paths])
    answer = loaded.signatures["serve_bytes"](image_bytes=content)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)


def test_what_lies_in_no_run_stretches(trained, tmp_path):
    run, _ = trained
    shutil.copy(run.run.model, tmp_path / "alone.keras")
    shutil.copy(run.run.export / "tflite" / "model_int8.tflite", tmp_path)
    for name in ("alone.keras", "model_int8.tflite"):
        assert zoo.open(tmp_path / name).resize == "stretch"


def test_the_page_is_told(trained, tmp_path, monkeypatch):
    run, _ = trained
    monkeypatch.setattr(web, "_copy_sources", lambda folder: folder.mkdir())
    web.export(run, tmp_path, others=records(run))
    page = json.loads((tmp_path / "web" / "page.json").read_text())
    assert page["resize"] == run.resize


def test_the_python_of_the_card_takes_the_same_pixels(trained, tmp_path):
    run, root = trained
    text = (run.run.export / "README.md").read_text()
    code = re.search(r"### Python \(LiteRT\).*?```\n", text, re.DOTALL)[0]
    shutil.copytree(run.run.export / "tflite", tmp_path / "tflite")
    for path in (root / "test" / "right").glob("0[0-2].png"):
        shutil.copy(path, tmp_path / "sample.png")
        name, probability = run_code(code, tmp_path).split()
        row = zoo.open(run.run.export / "tflite" / "model_int8.tflite").predict(path)[0]
        assert name == run.class_names[row.argmax()]
        # Pillow's ImageOps.fit cuts off fractions of pixels.
        assert float(probability) == pytest.approx(row.max(), abs=0.03)


def test_the_card_says_how(trained):
    run, _ = trained
    text = (run.run.export / "README.md").read_text()
    sentence, kotlin, swift = {
        "stretch": (" and stretch them to 20x24", "24, 20, true)", "in: frame)"),
        "crop": (", cut out the largest region in the", "columns, rows)\n", "max("),
        "pad": (", scale them to fit 20x24", "columns, rows, true)", "min("),
    }[run.resize]
    assert f"Turn images of another size upright{sentence}" in text
    for language, code in (("kotlin", kotlin), ("swift", swift)):
        assert code in re.search(rf"```{language}\n.*?```", text, re.DOTALL)[0]
