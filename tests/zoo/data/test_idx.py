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


@pytest.mark.parametrize("prefix", ["emnist-letters-", "a-train-b-"])
@pytest.mark.parametrize("test", ["test", "t10k"])
def test_other_names(tmp_path, prefix, test):
    content = idx_arrays()
    names = {
        name: f"{prefix}{name.replace('t10k', test).replace('-idx', '.idx')}"
        for name in content
    }
    write_idx(tmp_path, {names[name]: content[name] for name in content}, zipped=True)
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


def bad_cases() -> dict[str, tuple[str, bytes, str]]:
    good = {name: idx_bytes(value) for name, value in idx_arrays().items()}
    images, labels = good[TRAIN_X], good[TRAIN_Y]
    lie = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**16, 2**16)
    return {
        "magic": (TRAIN_X, b"\x00\x00\x09" + images[3:], "wrong magic number"),
        "labels as images": (TRAIN_X, labels, "wrong magic number"),
        "images as labels": (TRAIN_Y, images, "wrong magic number"),
        "text": (TEST_Y, b"hello world", "wrong magic number"),
        "no bytes": (TEST_X, b"", "wrong magic number.*an empty file"),
        "half a header": (TEST_X, images[:9], "truncated"),
        "truncated": (TRAIN_X, images[:-1], "truncated.*144 bytes, but 143"),
        "trailing": (TRAIN_X, images + b"x", "bytes after"),
        "labels truncated": (TRAIN_Y, labels[:-1], "truncated"),
        "labels trailing": (TEST_Y, good[TEST_Y] + b"\x00", "bytes after"),
        "over-declared": (TRAIN_X, lie + images[16:], "is truncated"),
        "count": (TRAIN_Y, idx_bytes(np.arange(11) % 3), "declares 11 labels"),
        "no images": (TEST_X, idx_bytes(np.zeros((0, 4, 3))), "is empty"),
        "no rows": (TEST_X, idx_bytes(np.zeros((5, 0, 3))), "is empty"),
        "colors": (TRAIN_X, idx_bytes(np.zeros((12, 4, 3, 3))), "wrong magic number"),
        "other size": (TEST_X, idx_bytes(np.zeros((5, 3, 4))), "3x4x1 do not match"),
        "test label": (
            TEST_Y,
            idx_bytes([0, 1, 2, 3, 0]),
            "label 3 at index 3 is out of range 0..2",
        ),
    }


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", bad_cases())
def test_bad_file(tmp_path, case, zipped):
    name, data, match = bad_cases()[case]
    directory = write_idx(tmp_path, {**idx_arrays(), name: data}, zipped=zipped)
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
