"""Tests the sample images and the list of their sources."""

from __future__ import annotations

import numpy as np
from PIL import Image

import zoo
from tests.conftest import ROOT

SAMPLES = ROOT / "zoo" / "samples"


def test_the_digit_is_a_test_image_of_digits(digits):
    with Image.open(SAMPLES / "digit.png") as image:
        pixels = np.asarray(image)[..., np.newaxis]
    same = (digits.test.x == pixels).all(axis=(1, 2, 3))
    assert digits.test.y[same].tolist() == [3]


def test_the_horse_is_one_of_the_images_that_come_with_the_weights():
    images, labels = zoo.weights_info("resnet", "cifar10").sample()
    with Image.open(SAMPLES / "horse.png") as image:
        pixels = np.asarray(image)
    same = (images == pixels).all(axis=(1, 2, 3))
    assert labels[same].tolist() == [7]


def test_every_sample_has_its_source_and_license():
    rows = (SAMPLES / "README.md").read_text().splitlines()
    for path in SAMPLES.iterdir():
        if path.name != "README.md":
            (row,) = [row for row in rows if row.startswith(f"| `{path.name}` |")]
            assert "CC BY" in row or "authors state no license" in row
            assert "http" in row
