"""Compares the digits with those of scikit-learn."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from zoo.data import load


def test_digits_are_scikit_learns(tmp_path):
    dataset = load.load("digits", data_dir=str(tmp_path / "none"))

    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        pixels, labels, test_size=360, stratify=labels, random_state=0
    )
    np.testing.assert_array_equal(dataset.train.y, parts[2])
    np.testing.assert_array_equal(dataset.test.y, parts[3])
    spec = dataset.spec
    assert (spec.name, spec.num_train, spec.num_test) == ("digits", 1437, 360)
    assert (spec.input_shape, spec.num_classes) == ((28, 28, 1), 10)
    assert spec.class_names == tuple("0123456789")
    assert spec.license and "Alpaydin" in spec.citation
    for split, raw in ((dataset.train, parts[0]), (dataset.test, parts[1])):
        assert (split.x.dtype, split.y.dtype) == (np.uint8, np.int32)
        assert split.x.shape == (len(raw), 28, 28, 1)
        border = split.x.copy()
        border[:, 4:24, 4:24] = 0
        assert not border.any() and split.x.max() == 255
        # Pillow's bicubic is another kernel (a = -0.5): near, not equal.
        for image, digit in zip(split.x[:50], raw, strict=False):
            small = Image.fromarray((digit.reshape(8, 8) * 255 / 16).astype("float32"))
            large = np.asarray(small.resize((20, 20), Image.Resampling.BICUBIC))
            difference = image[4:24, 4:24, 0] - np.clip(large, 0, 255)
            assert np.abs(difference).mean() < 3
    assert not (tmp_path / "none").exists()


def test_image_size_resizes():
    dataset, plain = load.load("digits", image_size=(14, 20)), load.load("digits")
    assert dataset.spec.input_shape == (14, 20, 1) == dataset.train.x.shape[1:]
    assert abs(dataset.train.x.mean() - plain.train.x.mean()) < 1
    padded = load.load("digits", image_size=(14, 20), resize="pad").train.x
    assert not padded[:, :, :3].any() and not padded[:, :, 17:].any()
    assert padded[:, :, 3:17].mean() == pytest.approx(plain.train.x.mean(), abs=1)
