"""Reading what TFDS has prepared: splits, sizes, damage."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo.data import load
from zoo.data.builders.arrays import ContentsBuilder, ContentsConfig
from zoo.data.cache import DiskImages
from zoo.data.dataset import Contents, Split
from zoo.errors import RunError, UserError


@pytest.fixture
def data_dir(tmp_path):
    """A data directory that does not exist yet."""
    return str(tmp_path / "tfds")


def fake(data_dir: str, name: str, splits: dict[str, int], shape=(6, 5, 3)) -> None:
    """Prepares made data where TFDS would keep the dataset of that name."""

    class Fake(ContentsBuilder, skip_registration=True):
        VERSION = tfds.core.Version("3.0.1" if name == "mnist" else "1.0.0")

        def _split_generators(self, dl_manager):
            return {
                split: self._generate_examples(made(count))
                for split, count in splits.items()
            }

    def made(count: int) -> Split:
        images = np.zeros((count, *shape), np.uint8)
        images[:, 0, 0, 0] = np.arange(count)
        return Split(images, np.arange(count) % 2)

    Fake.name = name
    contents = Contents(made(1), made(1), ("a", "b"))
    config = ContentsConfig(name="only", contents=contents)
    Fake(data_dir=data_dir, config=config).download_and_prepare()


@pytest.mark.parametrize(
    ("splits", "train", "test"),
    [
        ({"train": 50, "test": 5, "validation": 4}, range(50), range(5)),
        ({"train": 50, "validation": 4}, range(50), range(4)),
        ({"train": 50, "extra": 4}, range(40), range(40, 50)),
    ],
)
def test_prepared_folder_and_its_splits(data_dir, splits, train, test):
    fake(data_dir, "someones_own", splits)
    name = "someones_own/only"
    choice = load.resolve(name, default="mnist", data_dir=data_dir)
    dataset = load.load(choice, data_dir=data_dir)
    assert dataset.train.x[:, 0, 0, 0].tolist() == list(train)
    assert dataset.test.x[:, 0, 0, 0].tolist() == list(test)
    assert dataset.spec.fingerprint == "someones_own/only/1.0.0"
    assert dataset.spec.name == "someones_own-only"


def test_no_pixels_in_the_log():
    split = Split(np.zeros((1000, 6, 5, 3), np.uint8), np.zeros(1000, np.int32))
    config = ContentsConfig(name="x", contents=Contents(split, split, ("a",)))
    assert len(repr(config)) < 300  # TFDS logs it as a warning.


def test_no_train_split(data_dir):
    fake(data_dir, "someones_own", {"test": 3})
    with pytest.raises(UserError, match=r"no split named train. Its splits: test"):
        load.load("someones_own/only", data_dir=data_dir)


def test_images_of_many_sizes(data_dir):
    class Sizes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(10):
                image = np.full((4 + i, 20 - i, 3), 10 * i, np.uint8)
                yield i, {"image": image, "label": i % 2}

    Sizes(data_dir=data_dir).download_and_prepare()
    first = next(iter(tfds.load("sizes", split="train", data_dir=data_dir)))
    dataset = load.load("sizes", data_dir=data_dir)
    assert dataset.spec.input_shape == first["image"].shape
    assert (dataset.spec.num_train, dataset.spec.num_test) == (8, 2)
    values = np.concatenate([dataset.train.x, dataset.test.x])
    assert (values == values[:, :1, :1, :1]).all()
    assert sorted(values[:, 0, 0, 0]) == [10 * i for i in range(10)]
    resized = load.load("sizes", data_dir=data_dir, image_size=(3, 9))
    assert resized.train.x.shape == (8, 3, 9, 3)


def test_both_parts_of_one_split_are_read_from_disk(data_dir):
    fake(data_dir, "halves", {"train": 10})
    kept, read = (
        load.load("halves/only", data_dir=data_dir, memory_limit=limit)
        for limit in (None, 10)
    )
    for part in ("train", "test"):
        split = getattr(read, part)
        assert isinstance(split.x, DiskImages)
        np.testing.assert_array_equal(split.x[:], getattr(kept, part).x)
        np.testing.assert_array_equal(split.y, getattr(kept, part).y)


def test_damaged_records(data_dir):
    load.load("digits", data_dir=data_dir)
    path = next(Path(data_dir).glob("digits/*/digits-train*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    for damaged in (bytes(data), bytes(data[:-7]), bytes(data[: len(data) // 2])):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"'digits' in .* are damaged") as caught:
            load.load("digits", data_dir=data_dir)
        assert "\n" not in str(caught.value)
        assert f"{path}: " in str(caught.value)
    path.unlink()
    with pytest.raises(RunError, match="damaged"):
        load.load("digits", data_dir=data_dir)


def test_a_damaged_image_in_a_record_that_is_whole(data_dir):
    load.load("digits", data_dir=data_dir)
    path = next(Path(data_dir).glob("digits/*/digits-train*"))
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    records[700] = records[700].replace(b"IDAT", b"XXXX")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    with pytest.raises(RunError, match=r"'digits' in .* are damaged") as caught:
        load.load("digits", data_dir=data_dir)
    assert f"{path}: " in str(caught.value)
    assert "\n" not in str(caught.value)
