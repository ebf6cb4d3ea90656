"""What the builders of images share: arrays in, PNG records in the same order out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from zoo.data.dataset import Contents, Split


@dataclasses.dataclass(eq=False)
class ContentsConfig(tfds.core.BuilderConfig):
    """A configuration that carries the examples to be written.

    Attributes:
        contents: both splits, checked already.
    """

    # Not in the repr: TFDS logs it, and it would be pages of pixels.
    contents: Contents | None = dataclasses.field(default=None, repr=False)


class ContentsBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the contents of its configuration. Prepared data are read by path.

    Subclasses set ``name``, ``VERSION`` and ``RELEASE_NOTES``.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        return image_info(self, self.builder_config.contents)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # Nothing to download.
        contents = self.builder_config.contents
        return {
            "train": self._generate_examples(contents.train),
            "test": self._generate_examples(contents.test),
        }

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict]]:
        yield from generate(split)


def image_info(
    builder: tfds.core.DatasetBuilder, contents: Contents, **kwargs: Any
) -> tfds.core.DatasetInfo:
    """Describes images of one size, stored in the order in which they are given."""
    return tfds.core.DatasetInfo(
        builder=builder,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=contents.train.x.shape[1:]),
                "label": tfds.features.ClassLabel(names=list(contents.class_names)),
            }
        ),
        supervised_keys=("image", "label"),
        disable_shuffling=True,
        **kwargs,
    )


def generate(split: Split) -> Iterator[tuple[int, dict]]:
    """Yields (index, example) of a split of images."""
    for i, (image, label) in enumerate(zip(split.x, split.y, strict=True)):
        yield i, {"image": image, "label": int(label)}
