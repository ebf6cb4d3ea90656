"""The front door: names, directories, fingerprints, what happens without a network."""

import os
import shutil
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.zoo.data.written import (
    TRAIN_X,
    TRAIN_Y,
    class_tree,
    idx_arrays,
    pixels,
    save,
    write_idx,
)
from zoo.data import cache, images, load
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


# Names


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("digits", "digits"),
        ("linear_regression", "linear_regression"),
        ("mnist:3.0.1", "mnist"),
        ("emnist/letters", "emnist-letters"),
    ],
)
def test_known_names(name, short, data_dir):
    with mock.patch("zoo.data.tfds.is_reachable", lambda url: True):
        source = load.find(name, data_dir)
        assert (source.requested, source.used, source.name) == (name, name, short)
    assert source.directory is None and not source.is_tree
    assert not Path(data_dir).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kmnst", "Did you mean 'kmnist'?"),
        ("emnist/leters", "Did you mean 'letters'?"),
        ("digits:2.0.0", "Unknown dataset"),
        ("", "Unknown dataset ''"),
        ("a b", "or a local directory that exists"),
        ("huggingface:mnist", "Unknown dataset"),
        ("x" * 300, "Unknown dataset"),
        ("~no-such-user/images", "The directory ~no-such-user/images does not exist"),
    ],
)
def test_unknown_names(name, said, data_dir):
    with pytest.raises(UserError) as caught:
        load.find(name, data_dir)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("emnist/letters:9.9.9", "cannot be loaded at version 9.9.9"),
        (
            "imdb_reviews",
            "not one of labeled images with 1 or 3 channels. Its features: "
            "text (Text), label (ClassLabel)",
        ),
    ],
)
def test_datasets_that_cannot_be_opened(name, said, data_dir):
    with pytest.raises(UserError) as caught:
        load.find(name, data_dir).open()
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not Path(data_dir).exists()


def test_known_names_win_over_directories_of_that_name(tmp_path, monkeypatch):
    for name in ("mnist", "digits", "mine", "my/own"):
        class_tree(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert load.find("mnist").directory is None
    assert load.find("digits").directory is None
    for name in ("./mnist", "mine", "my/own", str(tmp_path / "mine")):
        assert load.find(name).directory == Path(name).resolve()


def test_options_are_checked(data_dir):
    for size in ((0, 5), (5,), 28):
        with pytest.raises(UserError, match="image_size must be"):
            load.load("digits", image_size=size)
    with pytest.raises(UserError, match="resize 'zoom'. Known: crop, pad, stretch"):
        load.load("digits", resize="zoom")
    for place in ("gs://bucket/x", ""):
        with pytest.raises(UserError, match="must be a local directory"):
            load.find("digits", place)


# Directories


@pytest.mark.parametrize("name", ["README.txt", "1.png", "x/y/z.png"])
def test_neither_layout(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=r"IDX files .*train/CLASS/") as caught:
        load.find(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("emtpy", "does not exist. Did you mean '.*/empty'"),
        ("file", "is a file"),
        ("empty", "is empty"),
        ("x" * 300, "Cannot read|does not exist"),
    ],
)
def test_directory_that_is_none(tmp_path, name, match):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=match):
        load.find(str(tmp_path / name))


def test_unreadable_directory(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    with pytest.raises(UserError, match=r"Cannot read .*Permission denied"):
        load.find(str(tmp_path))


def test_idx_files_are_read_in_order_and_in_place(tmp_path, data_dir):
    content = idx_arrays((7, 6))
    directory = write_idx(tmp_path / "my idx", content)
    dataset = load.load(str(directory), data_dir=data_dir)
    np.testing.assert_array_equal(dataset.train.x[..., 0], content[TRAIN_X])
    np.testing.assert_array_equal(dataset.train.y, content[TRAIN_Y])
    assert dataset.spec.name == "my-idx" and dataset.spec.source == str(directory)

    resized = load.load(str(directory), data_dir=data_dir, image_size=(3, 4))
    assert resized.spec.input_shape == (3, 4, 1)
    assert not Path(data_dir).exists()  # what fits in memory is not copied
    options = {"data_dir": data_dir, "image_size": (3, 3), "resize": "crop"}
    cropped = load.load(str(directory), **options).train.x[..., 0]
    middle = Image.fromarray(content[TRAIN_X][0, :6])
    expected = np.asarray(middle.resize((3, 3), Image.Resampling.BILINEAR), int)
    np.testing.assert_allclose(cropped[0], expected, atol=1)


def test_a_tree_is_decoded_once_whatever_its_path(tmp_path, data_dir, monkeypatch):
    directory = class_tree(tmp_path / "tree")
    first = load.load(str(directory), data_dir=data_dir)
    assert first.spec.class_names == ("cat", "dog")
    assert (first.spec.num_train, first.spec.num_test) == (16, 4)
    resized = load.load(str(directory), data_dir=data_dir, image_size=(4, 4))
    assert resized.train.x.shape == (16, 4, 4, 1)
    padded = load.load(
        str(directory), data_dir=data_dir, image_size=(4, 4), resize="pad"
    )
    assert not padded.train.x[:, :, 3].any() and resized.train.x[:, :, 3].any()
    names = [place.name[16:] for place in Path(data_dir, cache.FOLDER).iterdir()]
    assert sorted(names) == ["-4x4-upright", "-4x4-upright-pad", "-5x4-upright"]

    monkeypatch.setattr(images, "_write", pytest.fail)
    monkeypatch.setattr(cache, "lock", pytest.fail)  # works on a read-only disk
    moved = directory.rename(tmp_path / "moved")
    again = load.load(str(moved), data_dir=data_dir)
    for ours, theirs in ((again.train, first.train), (again.test, first.test)):
        np.testing.assert_array_equal(ours.x, theirs.x, strict=True)
        np.testing.assert_array_equal(ours.y, theirs.y, strict=True)


@pytest.fixture(params=["tree", "idx"])
def directory(request, tmp_path):
    path = tmp_path / "my data"
    if request.param == "tree":
        return class_tree(path)
    return write_idx(path, idx_arrays())


def test_a_copy_is_the_same_data(directory, tmp_path):
    first = load.find(str(directory))
    copy = shutil.copytree(directory, tmp_path / "copy", copy_function=shutil.copy)
    assert load.find(str(copy)).fingerprint == first.fingerprint
    assert first.fingerprint.startswith("sha256:") and len(first.fingerprint) == 71
    assert first.name == "my-data"


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_the_fingerprint_follows_names_and_contents(directory, change):
    path = next(path for path in directory.rglob("*") if path.is_file())
    before, status = load.find(str(directory)).fingerprint, path.stat()
    if change == "content":
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "name":
        path.rename(path.with_name(f"a-{path.name}"))
    elif path.suffix != ".png":
        (directory / "labels.txt").write_text("a\nb\nc\n")
    else:
        save(path.with_name("99.png"), pixels(0, 3, 3))
    assert load.find(str(directory)).fingerprint != before


WITHOUT = """
import sys
from zoo.data import load
for name in ("digits", "emnist/letters", "idx", "tree"):
    load.find(name, "tfds")
print("tensorflow" in sys.modules)
"""


def test_datasets_are_found_without_tensorflow(tmp_path, command):
    write_idx(tmp_path / "idx", idx_arrays())
    class_tree(tmp_path / "tree")
    assert command("-c", WITHOUT).stdout == "False\n"


# Offline


def test_default_mnist_gives_way_to_digits(data_dir, offline):
    source = load.find_default("mnist", data_dir)
    assert (source.requested, source.used, source.name) == ("mnist", "digits", "digits")
    assert "storage.googleapis.com does not answer" in source.reason
    line = load.find_default("linear_regression", data_dir)
    assert line.requested == line.used == "linear_regression" and line.reason is None
    assert not Path(data_dir).exists()


def test_asked_for_by_name_fails_soon(data_dir, offline):
    start = time.monotonic()
    with pytest.raises(load.Unreachable, match=f"mnist is not prepared in {data_dir}"):
        load.load("mnist", data_dir=data_dir)
    assert time.monotonic() - start < 10
    assert not Path(data_dir).exists()


def test_a_failed_download_is_reported_after_one_probe(data_dir, monkeypatch):
    full = mock.Mock(side_effect=OSError(28, "No space left on device"))
    probe = mock.Mock(return_value=True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", full)
    monkeypatch.setattr("zoo.data.tfds.is_reachable", probe)
    source = load.find_default("mnist", data_dir)
    with pytest.raises(RunError, match="failed: OSError: .*No space left on device$"):
        source.read()
    assert probe.call_count == 1
