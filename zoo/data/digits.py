"""The handwritten digits that ship with scikit-learn, in the format of MNIST.

1,797 real handwritten digits, 8x8 pixels of 17 levels: the test set of UCI's "Optical
Recognition of Handwritten Digits" (https://archive.ics.uci.edu/dataset/80). 43 people
contributed to that collection, 13 of them to this part. Here the digits are scaled up
to the middle 20x20 of 28x28 pixels, 0..255, as MNIST is laid out, and split at random,
stratified by class, into 1,437 / 360. Who wrote a digit is not recorded, so the same
writers are in both splits: the accuracy is that for known writers, and says little
about others' handwriting.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from zoo.data import decode
from zoo.data.dataset import Contents, Dataset, Split
from zoo.data.source import Options

_CITATION = """\
@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}"""


def read(options: Options) -> Dataset:
    """Returns the digits as uint8 images of 28x28x1, or of ``options.image_size``."""
    pixels, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        pixels, labels, test_size=360, stratify=labels, random_state=0
    )
    train, test = (
        Split(_images(x, options), y.astype(np.int32))
        for x, y in ((train_x, train_y), (test_x, test_y))
    )
    return Contents(train, test, tuple("0123456789")).describe(
        name="digits",
        source="digits/1.0.0",
        fingerprint="digits/1.0.0",
        license="CC BY 4.0",
        citation=_CITATION,
    )


def _images(pixels: np.ndarray, options: Options) -> np.ndarray:
    """Scales 8x8 digits, 0..16, to the middle 20x20 of 28x28, 0..255 (bicubic)."""
    small = np.asarray(pixels, np.float32).reshape(-1, 8, 8, 1) * (255 / 16)
    large = tf.image.resize(small, (20, 20), method="bicubic").numpy()
    images = np.zeros((len(small), 28, 28, 1), np.uint8)
    images[:, 4:24, 4:24] = np.clip(np.rint(large), 0, 255)
    size = options.image_size or (28, 28)
    return decode.resize(images, *size, options.resize).numpy()
