"""Tests that training, predict and serve_bytes turn photographs into equal pixels."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_images

import export
from zoo.data import folder
from zoo.runs import predict as evaluation

KINDS = {
    "jpg": {"quality": 90},
    "webp": {"quality": 90},
    "bmp": {},
    "gif": {},
    "png": {},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Crops of two photographs in several formats, sizes and EXIF orientations."""
    root = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for name, image in zip(
        ("china", "flower"), load_sample_images().images, strict=True
    ):
        (root / name).mkdir()
        for i in range(20):
            y, x = draw.integers(0, 200, 2)
            height, width = draw.integers(40, 200, 2)
            piece = Image.fromarray(image[y : y + height, x : x + width])
            kind, options = [*KINDS.items()][i % len(KINDS)]
            if kind == "jpg":
                exif = Image.Exif()
                exif[0x0112] = 6
                piece = piece.transpose(Image.Transpose.ROTATE_90)
                options = options | {"exif": exif}
            piece.save(root / name / f"{i}.{kind}", **options)
    return root


def test_training_predict_and_serve_bytes_see_the_same_pixels(photographs, train):
    trained = train("linear", str(photographs), image_size=(24, 32))
    export.export_run(trained, ["saved_model"], plots=False)
    paths = [path for path, _ in folder.scan(photographs).test]
    assert {pathlib.Path(path).suffix for path in paths} >= {".jpg", ".webp"}
    test, shape = trained.dataset.test, trained.dataset.spec.input_shape
    assert shape == (24, 32, 3)
    read = np.stack([evaluation.read_image(path, shape) for path in paths])
    np.testing.assert_array_equal(read, test.x)

    artifact = trained.run.export / "saved_model" / "1"
    loaded = tf.saved_model.load(str(artifact))
    encoded = tf.constant([pathlib.Path(path).read_bytes() for path in paths])
    served = loaded.signatures["serve_bytes"](image_bytes=encoded)
    np.testing.assert_allclose(served["probabilities"], trained.outputs, atol=1e-5)
    run = str(trained.run.path)
    for answers in (
        evaluation.predict_images(run, None, paths),
        evaluation.predict_images(None, str(artifact), paths),
    ):
        probabilities = [probability for *_, probability in answers]
        np.testing.assert_allclose(
            probabilities, trained.outputs.max(axis=1), atol=1e-5
        )
