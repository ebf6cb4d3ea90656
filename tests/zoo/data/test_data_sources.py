"""The front door: names, directories, preparation, offline behavior."""

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from zoo.data import folder, load
from zoo.errors import RunError, UserError

ROOT = Path(__file__).parents[3]
MNIST = Path(os.environ.get("MNIST_DIR", ROOT.parent / "shared" / "mnist"))


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


def tree(root: Path, *, count: int = 5, shape=(6, 5)) -> Path:
    for label in range(2):
        for i in range(count):
            path = root / f"class{label}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng([label, i])
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return root


def idx_directory(root: Path) -> Path:
    root.mkdir()
    rng = np.random.default_rng(0)
    for split, n in (("train", 20), ("t10k", 6)):
        images = rng.integers(0, 256, (n, 7, 6), dtype=np.uint8)
        header = b"\0\0\x08\x03" + b"".join(
            size.to_bytes(4, "big") for size in images.shape
        )
        (root / f"{split}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = bytes(i % 4 for i in range(n))
        header = b"\0\0\x08\x01" + n.to_bytes(4, "big")
        (root / f"{split}-labels-idx1-ubyte").write_bytes(header + labels)
    return root


def one_line(caught) -> str:
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    return text


def run_python(code: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )


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
    def load(num_examples, seed):
        return load.load(
            "linear_regression",
            data_dir=data_dir,
            num_examples=num_examples,
            seed=seed,
        )

    one, same, other = load(2000, 1), load(2000, 1), load(2000, 2)
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
    assert load(1000, 0).spec.num_train == 1000
    for num_examples, seed in ((0, 0), (-5, 0), (10, -1)):
        with pytest.raises(UserError, match="linear_regression needs"):
            load(num_examples, seed)


# Directories


def test_idx_directory_in_file_order_and_anew_when_changed(tmp_path, data_dir):
    directory = idx_directory(tmp_path / "my idx")
    dataset = load.load(str(directory), data_dir=data_dir)
    raw = (directory / "train-images-idx3-ubyte").read_bytes()[16:]
    expected = np.frombuffer(raw, np.uint8).reshape(20, 7, 6, 1)
    np.testing.assert_array_equal(dataset.train.x, expected)
    np.testing.assert_array_equal(dataset.train.y, np.arange(20) % 4)
    assert dataset.spec.name == "my-idx" and dataset.spec.source == str(directory)

    path = directory / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:16] + bytes(20 * 7 * 6))
    os.utime(path, ns=(1, 1))
    changed = load.load(str(directory), data_dir=data_dir)
    assert not changed.train.x.any()
    assert changed.spec.fingerprint != dataset.spec.fingerprint

    resized = load.load(str(directory), data_dir=data_dir, image_size=(3, 4))
    assert resized.spec.input_shape == (3, 4, 1)
    assert len(list(Path(data_dir, "local_idx").iterdir())) == 2


def test_image_tree_through_tfds(tmp_path, data_dir):
    directory = tree(tmp_path / "tree", shape=(6, 5, 3))
    expected = folder.scan(directory).read()
    dataset = load.load(str(directory), data_dir=data_dir)
    np.testing.assert_array_equal(dataset.train.x, expected.train.x)
    np.testing.assert_array_equal(dataset.test.y, expected.test.y)
    assert dataset.spec.class_names == ("class0", "class1")
    assert dataset.spec.num_test == 2

    resized = load.load(str(directory), data_dir=data_dir, image_size=(4, 4))
    assert resized.train.x.shape == (8, 4, 4, 3)
    assert resized.spec.fingerprint != dataset.spec.fingerprint


def test_prepared_once(tmp_path, data_dir, monkeypatch):
    directory = str(tree(tmp_path / "tree"))
    first = load.load(directory, data_dir=data_dir)
    digits = load.load("digits", data_dir=data_dir)

    def refuse(*args, **kwargs):
        raise AssertionError("prepared twice")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    monkeypatch.setattr(folder.ImageTree, "read", refuse)
    monkeypatch.setattr("zoo.data.prepare.lock", refuse)  # Works on read-only data.
    again = load.load(directory, data_dir=data_dir)
    np.testing.assert_array_equal(first.train.x, again.train.x)
    again = load.load("digits", data_dir=data_dir)
    np.testing.assert_array_equal(digits.test.x, again.test.x)


def test_bad_directories_write_nothing(tmp_path, data_dir):
    bad_idx = idx_directory(tmp_path / "idx")
    (bad_idx / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x09123456789")
    bad_tree = tree(tmp_path / "tree")
    (bad_tree / "class1/3.png").write_bytes(b"no image")
    (tmp_path / "empty").mkdir()
    for directory, match in (
        (bad_idx, "declares 9 labels"),
        (bad_tree, "3.png does not decode"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "missing", "does not exist"),
    ):
        with pytest.raises(UserError, match=match) as caught:
            load.resolve(str(directory), default="mnist", data_dir=data_dir)
            load.load(str(directory), data_dir=data_dir)
        one_line(caught)
    assert not Path(data_dir).exists()


def test_resolve_checks_idx_files_at_once(tmp_path, data_dir):
    directory = idx_directory(tmp_path / "idx")
    choice = load.resolve(str(directory), default="mnist", data_dir=data_dir)
    assert choice == load.Choice(str(directory), str(directory), "idx")
    with (directory / "train-labels-idx1-ubyte").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match="bytes after"):
        load.resolve(str(directory), default="mnist", data_dir=data_dir)
    assert not Path(data_dir).exists()


def test_names_are_checked_without_tensorflow(tmp_path):
    idx_directory(tmp_path / "idx")
    code = (
        "import sys, time; start = time.time()\n"
        "from zoo.data import load\n"
        "for name in ('digits', 'emnist/letters', sys.argv[1]):\n"
        "    load.check_name(name, sys.argv[2])\n"
        "    load.resolve('digits', default='mnist', data_dir=sys.argv[2])\n"
        "    load.resolve(sys.argv[1], default='mnist', data_dir=sys.argv[2])\n"
        "print('tensorflow' in sys.modules, time.time() - start)"
    )
    result = run_python(code, str(tmp_path / "idx"), str(tmp_path / "tfds"))
    imported, seconds = result.stdout.split()
    assert imported == "False", result.stderr
    assert float(seconds) < 10  # About 1; the machine may be busy.


# Offline


def test_default_mnist_gives_way_to_digits(data_dir, offline):
    choice = load.resolve(None, default="mnist", data_dir=data_dir)
    assert (choice.requested, choice.used) == ("mnist", "digits")
    assert "storage.googleapis.com does not answer" in choice.reason
    line = load.resolve(None, default="linear_regression", data_dir=data_dir)
    assert line == load.Choice(*["linear_regression"] * 3)
    assert not Path(data_dir).exists()


@pytest.mark.parametrize("name", ["mnist", "kmnist", "emnist/letters", "cifar10"])
def test_asked_for_by_name_fails_soon(name, data_dir, offline):
    start = time.monotonic()
    for action in (
        lambda: load.resolve(name, default="mnist", data_dir=data_dir),
        lambda: load.load(name, data_dir=data_dir),
    ):
        with pytest.raises(RunError) as caught:
            action()
        text = one_line(caught)
        assert repr(name) in text and data_dir in text and "--dataset=digits" in text
    assert time.monotonic() - start < 15
    assert not Path(data_dir).exists()


# The data directory


def test_data_dir_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    for data_dir in (str(tmp_path / "file"), str(tmp_path / "file/sub")):
        with pytest.raises(UserError, match="Cannot write to the data directory"):
            load.load("digits", data_dir=data_dir)
    for data_dir in ("gs://bucket/x", ""):
        with pytest.raises(UserError, match="must be a local directory"):
            load.check_name("digits", data_dir)


def test_failure_while_preparing_is_one_line(data_dir, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", full)
    with pytest.raises(RunError, match="no space is left") as caught:
        load.load("digits", data_dir=data_dir)
    one_line(caught)


def test_interrupt_passes_and_leaves_nothing_half(data_dir, monkeypatch):
    from zoo.data.builders.digits import Digits

    def interrupted(self, split):
        yield 0, {"image": split.x[0], "label": 0}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load.load("digits", data_dir=data_dir)
    assert not list(Path(data_dir).glob("digits/*"))
    assert load.load("digits", data_dir=data_dir).spec.num_train == 1437


def test_several_processes_prepare_at_once(data_dir):
    code = (
        "import sys\n"
        "from zoo.data import load\n"
        "dataset = load.load('digits', data_dir=sys.argv[1])\n"
        "print(int(dataset.train.x.sum()), dataset.spec.num_test)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, data_dir],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({out for out, _ in results}) == 1
    assert "WARNING:absl" not in results[0][1]
    assert [path.name for path in Path(data_dir, "digits").iterdir()] == ["1.0.0"]


# The real thing


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST in {MNIST}")
def test_mnist_from_its_files(tmp_path, data_dir):
    load.load(str(MNIST), data_dir=data_dir)
    start = time.monotonic()
    dataset = load.load(str(MNIST), data_dir=data_dir)
    seconds = time.monotonic() - start

    def raw(name: str, offset: int) -> np.ndarray:
        path = next(MNIST.glob(f"{name}-ubyte*"))
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        return np.frombuffer(data, np.uint8)[offset:]

    train_x = raw("train-images-idx3", 16).reshape(60_000, 28, 28, 1)
    np.testing.assert_array_equal(dataset.train.x, train_x)
    np.testing.assert_array_equal(dataset.train.y, raw("train-labels-idx1", 8))
    np.testing.assert_array_equal(dataset.test.y, raw("t10k-labels-idx1", 8))
    assert dataset.spec.num_classes == 10
    assert seconds < 20  # 3 on four idle cores.
