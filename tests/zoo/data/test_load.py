"""The front door: names, directories, preparation, offline behavior."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tests.zoo.data.written import TRAIN_X, TRAIN_Y, class_tree, idx_arrays, write_idx
from zoo.data import cache, folder, load
from zoo.errors import RunError, UserError


@pytest.fixture
def data_dir(tmp_path):
    """A data directory that does not exist yet."""
    return str(tmp_path / "tfds")


@pytest.fixture
def offline(monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


def test_digits_are_scikit_learns(data_dir):
    dataset = load.load("digits", data_dir=data_dir)

    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(
        pixels, labels, test_size=360, stratify=labels, random_state=0
    )
    np.testing.assert_array_equal(dataset.train.y, parts[2])
    np.testing.assert_array_equal(dataset.test.y, parts[3])
    spec = dataset.spec
    assert (spec.name, spec.num_train, spec.num_test) == ("digits", 1437, 360)
    assert (spec.input_shape, spec.num_classes) == ((28, 28, 1), 10)
    assert spec.fingerprint == "digits/1.0.0"
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


def test_image_size_resizes(data_dir):
    dataset = load.load("digits", data_dir=data_dir, image_size=(14, 20))
    plain = load.load("digits", data_dir=data_dir)
    assert dataset.spec.input_shape == (14, 20, 1) == dataset.train.x.shape[1:]
    assert abs(dataset.train.x.mean() - plain.train.x.mean()) < 1
    for size in ((0, 5), (-1, 5)):
        with pytest.raises(UserError, match="image_size"):
            load.load("digits", data_dir=data_dir, image_size=size)


def test_linear_regression_is_the_line_and_the_streams_differ(data_dir):
    def line(num_examples, seed):
        options = {"num_examples": num_examples, "seed": seed}
        return load.load("linear_regression", data_dir=data_dir, **options)

    one, same, other = line(2000, 1), line(2000, 1), line(2000, 2)
    x, y = one.train.x, one.train.y
    assert x.shape == y.shape == (2000, 1) and x.dtype == y.dtype == np.float32
    assert one.test.x.shape == (1000, 1)
    slope, offset = np.polyfit(x[:, 0], y[:, 0], 1)
    assert abs(slope - 3) < 0.1 and abs(offset - 2) < 0.1
    assert abs((y - 3 * x - 2).std() - 1) < 0.05
    np.testing.assert_array_equal(x, same.train.x)
    assert not np.isin(x, other.train.x).any()
    assert not np.isin(one.test.x, x).any()
    assert one.spec.fingerprint == "n2000-seed1" != other.spec.fingerprint
    assert one.spec.task == "regression" and one.spec.num_classes is None
    assert line(1000, 0).spec.num_train == 1000
    for num_examples, seed in ((0, 0), (-5, 0), (10, -1)):
        with pytest.raises(UserError, match="linear_regression needs"):
            line(num_examples, seed)


# Names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300, "Unknown dataset 'xxx"),
        ("~no-such-user/images", "The directory ~no-such-user/images does not exist"),
    ],
)
def test_paths_that_no_system_has_are_explained(data_dir, name, message):
    with pytest.raises(UserError, match=message):
        load.check_name(name, data_dir)


def test_known_names(data_dir):
    ours = ["digits", "linear_regression"]
    plain = ["mnist", "fashion_mnist", "kmnist", "cifar10", "beans", "tf_flowers"]
    precise = ["emnist/letters", "mnist:3.0.1", "emnist/letters:3.1.0"]
    for name in (*ours, *plain, *precise):
        load.check_name(name, data_dir)
    assert not Path(data_dir).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kmnst", "Did you mean 'kmnist'?"),
        ("digit", "Did you mean 'digits'?"),
        ("fashion-mnist", "Did you mean 'fashion_mnist'?"),
        ("emnist/leters", "Did you mean 'letters'?"),
        ("emnist/letters:9.9.9", "cannot be loaded at version 9.9.9"),
        ("mnist:9.9.9", "only: 3.0.1"),
        ("digits:2.0.0", "Unknown dataset"),
        ("", "Unknown dataset ''"),
        ("a b", "or a local directory"),
        ("huggingface:mnist", "Unknown dataset"),
        ("no/such/thing", "The directory no/such/thing does not exist"),
        ("emnst/letters", "Did you mean 'emnist/letters'?"),
        ("x" * 300, "Unknown dataset"),
        ("imdb_reviews", "Its features: text (Text), label (ClassLabel)"),
        ("binarized_mnist", "not one of labeled images"),
        ("./nowhere", "does not exist"),
        ("/nowhere/at/all", "does not exist"),
        ("~/nowhere/at/all", "does not exist"),
    ],
)
def test_unknown_names(name, said, data_dir):
    with pytest.raises(UserError) as caught:
        load.load(name, data_dir=data_dir)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not Path(data_dir).exists()


def test_known_names_win_over_directories_of_that_name(tmp_path, monkeypatch):
    for name in ("mnist", "mine", "my/own", "emnist/letters"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not load.is_directory("mnist")
    assert not load.is_directory("digits")
    assert not load.is_directory("emnist/letters")
    for name in ("./mnist", "mine", "my/own", str(tmp_path / "mine"), "../x", "~/x"):
        assert load.is_directory(name)


# Directories


def test_idx_directory_in_file_order_and_again_when_changed(tmp_path, data_dir):
    content = idx_arrays((7, 6))
    directory = write_idx(tmp_path / "my idx", content)
    dataset = load.load(str(directory), data_dir=data_dir)
    np.testing.assert_array_equal(dataset.train.x[..., 0], content[TRAIN_X])
    np.testing.assert_array_equal(dataset.train.y, content[TRAIN_Y])
    assert dataset.spec.name == "my-idx" and dataset.spec.source == str(directory)

    write_idx(directory, {TRAIN_X: np.zeros((12, 7, 6))})
    changed = load.load(str(directory), data_dir=data_dir)
    assert not changed.train.x.any()
    assert changed.spec.fingerprint != dataset.spec.fingerprint

    resized = load.load(str(directory), data_dir=data_dir, image_size=(3, 4))
    assert resized.spec.input_shape == (3, 4, 1)
    assert not Path(data_dir).exists()  # what fits in memory is not copied


def test_a_tree_is_decoded_once_whatever_its_path(tmp_path, data_dir, monkeypatch):
    directory = class_tree(tmp_path / "tree")
    first = load.load(str(directory), data_dir=data_dir)
    assert first.spec.class_names == ("cat", "dog")
    assert (first.spec.num_train, first.spec.num_test) == (16, 4)
    resized = load.load(str(directory), data_dir=data_dir, image_size=(4, 4))
    assert resized.train.x.shape == (16, 4, 4, 1)
    assert len(list(Path(data_dir, cache.FOLDER).iterdir())) == 2

    monkeypatch.setattr(folder.ImageTree, "_write", refuse)
    monkeypatch.setattr(cache, "lock", refuse)  # works on a read-only data directory
    moved = directory.rename(tmp_path / "moved")
    again = load.load(str(moved), data_dir=data_dir)
    for ours, theirs in ((again.train, first.train), (again.test, first.test)):
        np.testing.assert_array_equal(ours.x, theirs.x, strict=True)
        np.testing.assert_array_equal(ours.y, theirs.y, strict=True)


def test_a_prepared_dataset_is_read_without_writing(data_dir, monkeypatch):
    digits = load.load("digits", data_dir=data_dir)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    monkeypatch.setattr("zoo.data.tfds.lock", refuse)
    again = load.load("digits", data_dir=data_dir)
    np.testing.assert_array_equal(digits.test.x, again.test.x)


def test_read_only_writes_nothing_into_the_data_directory(tmp_path, data_dir):
    directory = class_tree(tmp_path / "tree")
    for limit in (None, 10):
        data = load.load(
            str(directory), data_dir=data_dir, read_only=True, memory_limit=limit
        )
        assert data.train.take(np.arange(8)).x[:].shape == (8, 5, 4, 1)
    for name in load.OWN:
        with pytest.raises(UserError, match="only reading was asked for"):
            load.load(name, data_dir=data_dir, read_only=True)
    assert not Path(data_dir).exists()


def refuse(*args, **kwargs):
    raise AssertionError("prepared twice")


def test_a_bad_tree_leaves_nothing(tmp_path, data_dir):
    (class_tree(tmp_path / "tree") / "dog/3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="does not decode: .*3.png"):
        load.load(str(tmp_path / "tree"), data_dir=data_dir)
    assert not [*Path(data_dir).rglob("*.np*")]


NAMES = """
import sys, time; start = time.time()
from zoo.data import load
for name in ("digits", "emnist/letters", "idx"):
    load.check_name(name, "tfds")
load.open_dataset("digits", default="mnist", data_dir="tfds")
load.load("idx", data_dir="tfds")
print("tensorflow" in sys.modules, time.time() - start)
"""


def test_names_are_checked_and_idx_files_read_without_tensorflow(tmp_path, command):
    write_idx(tmp_path / "idx", idx_arrays())
    imported, seconds = command("-c", NAMES).stdout.split()
    assert imported == "False"
    assert float(seconds) < 10  # about 1; the machine may be busy


# Offline


def test_default_mnist_gives_way_to_digits(data_dir, offline):
    source = load.open_dataset(None, default="mnist", data_dir=data_dir)
    assert (source.requested, source.used, source.name) == ("mnist", "digits", "digits")
    assert "storage.googleapis.com does not answer" in source.reason
    line = load.open_dataset(None, default="linear_regression", data_dir=data_dir)
    assert line.requested == line.used == "linear_regression" and line.reason is None
    assert not Path(data_dir).exists()


@pytest.mark.parametrize("name", ["mnist", "emnist/letters", "cifar10"])
def test_asked_for_by_name_fails_soon(name, data_dir, offline):
    start = time.monotonic()
    with pytest.raises(RunError, match=rf"{name!r}.*{data_dir}.*--dataset=digits"):
        load.open_dataset(name, default="mnist", data_dir=data_dir)
    assert time.monotonic() - start < 10
    assert not Path(data_dir).exists()


def test_no_other_dataset_is_suggested_where_none_would_do(data_dir, offline):
    with pytest.raises(RunError, match="Prepare it on a machine with") as caught:
        load.open_dataset("mnist", default="", data_dir=data_dir, only_this=True)
    assert "digits" not in str(caught.value)


@pytest.mark.parametrize("dataset", [None, "mnist"])
def test_a_dataset_is_resolved_once(dataset, data_dir, monkeypatch):
    """One builder and one probe, from the check of the name to the arrays."""
    full = OSError(28, "No space left on device")
    builder, made = tfds.core.DatasetBuilder, tfds.core.DatasetBuilder.__init__
    make = mock.Mock(side_effect=made)
    probe, prepare = mock.Mock(return_value=True), mock.Mock(side_effect=full)
    monkeypatch.setattr(builder, "__init__", lambda *args, **kw: make(*args, **kw))
    monkeypatch.setattr(builder, "download_and_prepare", prepare)
    monkeypatch.setattr("zoo.data.tfds.is_reachable", probe)
    load.check_name(dataset or "mnist", data_dir)
    source = load.open_dataset(dataset, default="mnist", data_dir=data_dir)
    with pytest.raises(RunError, match="failed: no space is left on the disk$"):
        source.read()
    assert make.call_count == probe.call_count == prepare.call_count == 1


# The data directory


def test_data_dir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for data_dir in (str(tmp_path / "file"), str(tmp_path / "file/sub")):
        with pytest.raises(UserError, match="Cannot write to the data directory"):
            load.load("digits", data_dir=data_dir)
    for data_dir in ("gs://bucket/x", ""):
        with pytest.raises(UserError, match="must be a local directory"):
            load.check_name("digits", data_dir)


def test_interrupt_passes_and_leaves_nothing_half(data_dir, monkeypatch):
    from zoo.data.builders.digits import Digits

    def interrupted(self, images, labels):
        yield 0, {"image": images[0], "label": 0}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load.load("digits", data_dir=data_dir)
    assert not list(Path(data_dir).glob("digits/*"))
    assert load.load("digits", data_dir=data_dir).spec.num_train == 1437


PREPARES = """
from zoo.data import load
for name in ("digits", "linear_regression"):
    dataset = load.load(name, data_dir="tfds")
    print(dataset.train.x.sum(), dataset.spec.num_test)
"""


def test_several_processes_prepare_at_once(tmp_path, command):
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(command, ["-c"] * 2, [PREPARES] * 2)
    assert one.returncode == other.returncode == 0, one.stderr + other.stderr
    assert one.stdout == other.stdout and "WARNING:absl" not in one.stderr
    assert [path.name for path in (tmp_path / "tfds/digits").iterdir()] == ["1.0.0"]


# The real thing


def test_mnist_from_its_files(mnist_dir, data_dir):
    start, cpu = time.monotonic(), time.process_time()
    dataset = load.load(str(mnist_dir), data_dir=data_dir)
    seconds, cpu = time.monotonic() - start, time.process_time() - cpu

    def raw(name: str, offset: int) -> np.ndarray:
        path = next(mnist_dir.glob(f"{name}-ubyte*"))
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        return np.frombuffer(data, np.uint8)[offset:]

    train_x = raw("train-images-idx3", 16).reshape(60_000, 28, 28, 1)
    np.testing.assert_array_equal(dataset.train.x, train_x)
    np.testing.assert_array_equal(dataset.train.y, raw("train-labels-idx1", 8))
    np.testing.assert_array_equal(dataset.test.y, raw("t10k-labels-idx1", 8))
    assert dataset.spec.num_classes == 10
    assert not Path(data_dir).exists()
    assert cpu < 2 and seconds < 10  # 0.5 on two idle cores
