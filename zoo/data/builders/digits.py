"""The handwritten digits that ship with scikit-learn, in the format of MNIST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

_DESCRIPTION = """\
1,797 real handwritten digits, 8x8 pixels of 17 levels: the test set of UCI's "Optical
Recognition of Handwritten Digits", as scikit-learn ships it. 43 people contributed to
that collection, 13 of them to this part. Here the digits are scaled up to the middle
20x20 of 28x28 pixels, 0..255, as MNIST is laid out, and split at random, stratified by
class, into 1,437 / 360. Who wrote a digit is not recorded, so the same writers are in
both splits: the accuracy is that for known writers, and says little about others'
handwriting. Needs no network."""
_CITATION = """\
@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}"""


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 digits as (28, 28, 1) uint8 images."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            license="CC BY 4.0",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # Nothing to download.
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        pixels, labels = load_digits(return_X_y=True)
        train_x, test_x, train_y, test_y = train_test_split(
            pixels, labels, test_size=360, stratify=labels, random_state=0
        )
        return {
            "train": self._generate_examples(_like_mnist(train_x), train_y),
            "test": self._generate_examples(_like_mnist(test_x), test_y),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield i, {"image": image, "label": int(label)}


def _like_mnist(pixels: np.ndarray) -> np.ndarray:
    """Scales 8x8 digits, 0..16, to the middle 20x20 of 28x28, 0..255 (bicubic)."""
    import tensorflow as tf

    small = np.asarray(pixels, np.float32).reshape(-1, 8, 8, 1) * (255 / 16)
    large = tf.image.resize(small, (20, 20), method="bicubic").numpy()
    result = np.zeros((len(small), 28, 28, 1), np.uint8)
    result[:, 4:24, 4:24] = np.clip(np.rint(large), 0, 255)
    return result
