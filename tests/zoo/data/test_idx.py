"""Tests reading IDX files, and the error for every mistake in them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.data.written import (
    TEST_X,
    TEST_Y,
    TRAIN_X,
    TRAIN_Y,
    idx_arrays,
    idx_bytes,
    write_idx,
)
from zoo.data import idx
from zoo.errors import UserError


def fails(directory: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        idx.find(directory).read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_reads_what_was_written(tmp_path, zipped):
    content = idx_arrays((4, 3))
    contents = idx.find(write_idx(tmp_path, content, zipped=zipped)).read()

    for split, images, labels in (
        (contents.train, TRAIN_X, TRAIN_Y),
        (contents.test, TEST_X, TEST_Y),
    ):
        assert (split.x.dtype, split.y.dtype) == (np.uint8, np.int32)
        np.testing.assert_array_equal(split.x, content[images][..., np.newaxis])
        np.testing.assert_array_equal(split.y, content[labels])
    assert contents.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("prefix", "test", "before_idx"),
    [("emnist-letters-", "test", "-"), ("", "t10k", "."), ("a-train-b-", "t10k", "-")],
)
def test_other_names(tmp_path, prefix, test, before_idx):
    content = idx_arrays()
    for name, array in content.items():
        other = name.replace("t10k", test).replace("-idx", f"{before_idx}idx")
        write_idx(tmp_path, {f"{prefix}{other}": array}, zipped=True)
    (tmp_path / "README.md").write_text("not data")
    contents = idx.find(tmp_path).read()
    np.testing.assert_array_equal(contents.test.y, content[TEST_Y])


def test_labels_from_1_and_labels_txt(tmp_path):
    content = idx_arrays()
    content[TRAIN_Y] = content[TRAIN_Y] + 1
    content[TEST_Y] = content[TEST_Y] + 1
    files = idx.find(write_idx(tmp_path, content))
    assert files.read().class_names == ("0", "1", "2", "3")

    (tmp_path / "labels.txt").write_text("none\nfür\nzwei\ndrei\nfourth\n", "utf-8")
    files = idx.find(tmp_path)
    assert files.read().class_names == ("none", "für", "zwei", "drei", "fourth")
    assert str(tmp_path / "labels.txt") in files.paths()


@pytest.mark.parametrize("text", ["", "\n\n", "a\n\nb", "a\na\nb", b"\xff\xfe\xff"])
def test_bad_labels_txt(tmp_path, text):
    write_idx(tmp_path, idx_arrays())
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "labels.txt").write_bytes(data)
    fails(tmp_path, "labels.txt")


@pytest.mark.parametrize("name", [TRAIN_X, TRAIN_Y, TEST_X, TEST_Y])
def test_missing_or_double_file(tmp_path, name):
    write_idx(tmp_path, idx_arrays())
    (tmp_path / f"{name}.gz").write_bytes(b"")
    with pytest.raises(UserError, match=f"has 2 files of .*{name}.*{name}.gz"):
        idx.find(tmp_path)
    (tmp_path / f"{name}.gz").unlink()
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"has no .*{name}"):
        idx.find(tmp_path)


GOOD = {name: idx_bytes(array) for name, array in idx_arrays().items()}
LIE = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**16, 2**16)
IMAGES, LABELS = "not an IDX file of images", "not an IDX file of labels"


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        (TRAIN_X, b"\x00\x00\x09" + GOOD[TRAIN_X][3:], IMAGES),
        (TRAIN_X, GOOD[TRAIN_Y], IMAGES),
        (TRAIN_Y, GOOD[TRAIN_X], LABELS),
        (TEST_X, b"", f"{IMAGES}.* Received: an empty file"),
        (TEST_X, GOOD[TEST_X][:9], IMAGES),
        (TRAIN_X, GOOD[TRAIN_X][:-1], "declares 12x4x3, 144 bytes, and 143 follow"),
        (TEST_Y, GOOD[TEST_Y] + b"\x00", "declares 5, 5 bytes, and 6 follow"),
        (TRAIN_X, LIE + GOOD[TRAIN_X][16:], "bytes, and 144 follow"),
        (TEST_X, idx_bytes(np.zeros((5, 0, 3))), "declares 5x0x3, 0 bytes"),
        (TRAIN_Y, idx_bytes(np.arange(11) % 3), "declares 11 labels"),
        (TEST_X, idx_bytes(np.zeros((5, 3, 4))), "3x4x1 do not match"),
        (TEST_Y, idx_bytes([0, 1, 2, 3, 0]), "label 3 at index 3 is out of range 0..2"),
    ],
)
def test_bad_file(tmp_path, name, data, match):
    directory = write_idx(tmp_path, {**idx_arrays(), name: data})
    fails(directory, f"{name}.*{match}")


def test_label_beyond_labels_txt(tmp_path):
    write_idx(tmp_path, idx_arrays())
    (tmp_path / "labels.txt").write_text("a\nb\n")
    fails(tmp_path, "label 2 at index 2 is out of range 0..1")


@pytest.mark.parametrize("damage", ["cut", "checksum"])
def test_damaged_gzip(tmp_path, damage):
    write_idx(tmp_path, idx_arrays(), zipped=True)
    path = tmp_path / f"{TRAIN_X}.gz"
    data = bytearray(path.read_bytes())
    data[-8] ^= 255
    path.write_bytes(data[:-20] if damage == "cut" else data)
    fails(tmp_path, f"{TRAIN_X}.gz is a damaged or truncated gzip file")
