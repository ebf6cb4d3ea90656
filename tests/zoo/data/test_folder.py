"""Trees of image files: layouts, splits, decoding, and what is wrong with them."""

import operator
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.zoo.data.written import class_tree, pixels, save, split_tree
from zoo.data import folder, local
from zoo.data.cache import Cache
from zoo.errors import UserError


def read(root, image_size=None):
    """Decodes a tree, without keeping what is decoded."""
    return folder.scan(root).read(nowhere(root), image_size)


def nowhere(root):
    return Cache(root / ".none", limit=None, what=str(root), read_only=True)


def test_train_and_test_folders(tmp_path):
    contents = read(split_tree(tmp_path, 6, 5, 3))

    assert contents.class_names == ("cat", "dog")
    expected = np.stack([pixels(i, 6, 5, 3) for i in range(3)])
    np.testing.assert_array_equal(contents.train.x, expected)
    np.testing.assert_array_equal(contents.test.x, pixels(9, 6, 5, 3)[np.newaxis])
    np.testing.assert_array_equal(contents.train.y, [0, 0, 1])
    np.testing.assert_array_equal(contents.test.y, [1])
    assert (contents.train.x.dtype, contents.train.y.dtype) == (np.uint8, np.int32)


def test_gray_trees_have_one_channel_and_one_color_makes_three(tmp_path):
    split_tree(tmp_path, 6, 5)
    contents = read(tmp_path)
    assert contents.train.x.shape == (3, 6, 5, 1)
    np.testing.assert_array_equal(contents.train.x[0, ..., 0], pixels(0, 6, 5))

    for colored in ("test/dog/c.png", "train/dog/d.png"):
        path = save(tmp_path / colored, pixels(5, 6, 5, 3))
        contents = read(tmp_path)
        assert contents.train.x.shape[1:] == contents.test.x.shape[1:] == (6, 5, 3)
        np.testing.assert_array_equal(contents.train.x[0, ..., 2], pixels(0, 6, 5))
        path.unlink()


def test_gray_kept_as_rgb_is_gray(tmp_path):
    split_tree(tmp_path, 6, 5)
    array = np.repeat(pixels(0, 6, 5)[..., np.newaxis], 3, axis=-1)
    save(tmp_path / "train/cat/1.png", array)
    assert read(tmp_path).train.x.shape == (3, 6, 5, 1)


def test_sizes_follow_the_first_image_or_the_given_size(tmp_path):
    split_tree(tmp_path, 6, 5)
    save(tmp_path / "train/dog/a.bmp", np.full((20, 40), 77, np.uint8))
    train = read(tmp_path).train
    assert train.x.shape == (3, 6, 5, 1) and (train.x[2] == 77).all()
    assert read(tmp_path, (8, 9)).test.x.shape == (1, 8, 9, 1)


def test_split_is_stratified_fixed_and_complete(tmp_path):
    tree = folder.scan(class_tree(tmp_path, count=11))
    train, test = dict(tree.train), dict(tree.test)

    assert len(train) == 18 and len(test) == 4
    assert not train.keys() & test.keys()
    assert train.keys() | test.keys() == set(tmp_path.glob("*/*.png"))
    assert [label for _, label in tree.test] == [0, 0, 1, 1]
    assert all(tree.class_names[label] == path.parent.name for path, label in tree.test)


def test_split_does_not_depend_on_the_order_of_the_file_system(tmp_path, monkeypatch):
    class_tree(tmp_path)
    expected = folder.scan(tmp_path)

    class Reversed(list):
        def __enter__(self):
            return self[::-1]

        def __exit__(self, *_):
            pass

    scandir = os.scandir
    by_name = operator.attrgetter("name")
    monkeypatch.setattr(
        os, "scandir", lambda path: Reversed(sorted(scandir(path), key=by_name))
    )
    assert folder.scan(tmp_path) == expected


def test_names_sort_naturally_and_hidden_ones_are_ignored(tmp_path):
    class_tree(tmp_path, ["10", "9", "1"], count=2)
    class_tree(tmp_path, [".git"])
    (tmp_path / "1/.DS_Store").write_bytes(b"x")
    (tmp_path / "1/.hidden.png").write_bytes(b"x")
    (tmp_path / "1/notes.txt").write_text("x")
    (tmp_path / "README.md").write_text("x")
    tree = folder.scan(tmp_path)
    assert tree.class_names == ("1", "9", "10")
    assert len(tree.paths()) == 6


def test_classes_named_train_and_bus(tmp_path):
    class_tree(tmp_path, ["bus", "train"])
    assert folder.scan(tmp_path).class_names == ("bus", "train")


def test_other_folders_beside_train_and_test_are_ignored(tmp_path):
    split_tree(tmp_path, 6, 5)
    (tmp_path / "notes").mkdir()
    assert folder.scan(tmp_path).class_names == ("cat", "dog")


def broken(root: Path, case: str) -> str:
    """Builds a broken tree; returns what the message must say."""
    if case == "one image":
        class_tree(root)
        save(root / "emu/only.png", pixels(0, 5, 4))
        return "'emu' has one image .*only.png"
    if case == "empty class":
        class_tree(root)
        (root / "emu").mkdir()
        return "class folder .*emu has no images"
    split_tree(root, 6, 5)
    if case == "no test":
        (root / "test/dog/b.png").unlink()
        (root / "test/dog").rmdir()
        (root / "test").rmdir()
        return "has a folder train but no folder test"
    if case == "no train":
        (root / "train").rename(root / "val")
        return "has a folder test but no folder train"
    if case == "new class in test":
        save(root / "test/emu/c.png", pixels(0, 6, 5))
        return "'emu' is not in .*train"
    if case == "empty class in train":
        (root / "train/emu").mkdir()
        return "class folder .*emu has no images"
    if case == "empty class in test":
        (root / "test/cat").mkdir()
        return "class folder .*cat has no images"
    if case == "no class folders":
        for path in list(root.glob("*/*/*")):
            path.rename(path.parents[1] / path.name)
        for name in ("train/cat", "train/dog", "test/dog"):
            (root / name).rmdir()
        return "has no class folders"
    raise AssertionError(case)


@pytest.mark.parametrize(
    "case",
    [
        "one image",
        "empty class",
        "no test",
        "no train",
        "new class in test",
        "empty class in train",
        "empty class in test",
        "no class folders",
    ],
)
def test_broken_layout(tmp_path, case):
    match = broken(tmp_path, case)
    with pytest.raises(UserError, match=match) as caught:
        local.open_directory(tmp_path)
    assert "\n" not in str(caught.value)


def palette_bmp(path: Path) -> None:
    Image.fromarray(pixels(0, 6, 5, 3)).quantize(8).save(path)


@pytest.mark.parametrize("name", ["train/cat/1.png", "train/dog/a.bmp"])
@pytest.mark.parametrize(
    ("write", "match"),
    [
        (lambda path: path.write_bytes(b""), "does not decode"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n junk"), "does not decode"),
        (lambda path: path.write_bytes(path.read_bytes()[:70]), "does not decode"),
        (lambda path: (path.unlink(), path.mkdir()), "Cannot read"),
        (lambda path: Image.new("P", (5, 6)).save(path, "BMP"), None),
    ],
)
def test_bad_image_is_named(tmp_path, name, write, match):
    split_tree(tmp_path, 6, 5)
    path, tree = tmp_path / name, folder.scan(tmp_path)
    write(path)
    if match is None:  # A palette of grays in order is no palette.
        read(tmp_path)
        palette_bmp(tmp_path / "train/dog/a.bmp")
        path, match = tmp_path / "train/dog/a.bmp", "BMP with a palette"
    with pytest.raises(UserError, match=match) as caught:
        tree.read(nowhere(tmp_path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
