"""Trees of image files: layouts, splits, decoding, and what is wrong with them."""

import contextlib
import operator
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.zoo.data.written import class_tree, pixels, save, split_tree
from zoo.data import folder
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
    array = np.repeat(pixels(0, 6, 5, 1), 3, axis=-1)
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
    assert train.keys() | test.keys() == {str(p) for p in tmp_path.glob("*/*.png")}
    assert [label for _, label in tree.test] == [0, 0, 1, 1]
    assert all(f"/{tree.class_names[label]}/" in path for path, label in tree.test)


def test_split_does_not_depend_on_the_order_of_the_file_system(tmp_path, monkeypatch):
    class_tree(tmp_path)
    expected, scandir = folder.scan(tmp_path), os.scandir
    by_name = operator.attrgetter("name")

    @contextlib.contextmanager
    def backward(path):
        yield sorted(scandir(path), key=by_name, reverse=True)

    monkeypatch.setattr(os, "scandir", backward)
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


def test_folders_beside_train_and_test(tmp_path):
    split_tree(tmp_path / "splits", 6, 5)
    (tmp_path / "splits/notes").mkdir()  # is ignored
    assert folder.scan(tmp_path / "splits").class_names == ("cat", "dog")
    class_tree(tmp_path / "classes", ["bus", "train"])
    assert folder.scan(tmp_path / "classes").class_names == ("bus", "train")


def add(path: Path) -> None:
    save(path, pixels(0, 6, 5))


def call_val(path: Path) -> None:
    path.rename(path.with_name("val"))


def without_classes(root: Path) -> None:
    for path in [*root.glob("*/*/*")]:
        path.rename(path.parents[1] / path.name)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


@pytest.mark.parametrize(
    ("layout", "change", "name", "match"),
    [
        (class_tree, add, "emu/only.png", "'emu' has one image .*only.png"),
        (class_tree, Path.mkdir, "emu", "emu has no images"),
        (class_tree, Path.mkdir, "cat ", "Rename it"),
        (class_tree, Path.mkdir, os.fsdecode(b"cat\xff"), "not UTF-8. Rename it"),
        (split_tree, shutil.rmtree, "test", "has a folder train but no folder test"),
        (split_tree, call_val, "train", "has a folder test but no folder train"),
        (split_tree, add, "test/emu/c.png", "'emu' is not in .*train"),
        (split_tree, Path.mkdir, "train/emu", "emu has no images"),
        (split_tree, Path.mkdir, "test/cat", "cat has no images"),
        (split_tree, without_classes, ".", "has no class folders"),
    ],
)
def test_broken_layout(tmp_path, layout, change, name, match):
    change(layout(tmp_path) / name)
    with pytest.raises(UserError, match=match) as caught:
        folder.scan(tmp_path)
    assert "\n" not in str(caught.value)


def palette_bmp(path: Path) -> None:
    Image.fromarray(pixels(0, 6, 5, 3)).quantize(8).save(path, "BMP")


@pytest.mark.parametrize("name", ["train/cat/1.png", "train/dog/a.bmp"])
@pytest.mark.parametrize(
    ("write", "match"),
    [
        (lambda path: path.write_bytes(b""), "does not decode"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n junk"), "does not decode"),
        (lambda path: path.write_bytes(path.read_bytes()[:70]), "does not decode"),
        (lambda path: (path.unlink(), path.mkdir()), "Cannot read"),
        (palette_bmp, "BMP with a palette"),
    ],
)
def test_bad_image_is_named_once(tmp_path, name, write, match, capfd):
    path, tree = tmp_path / name, folder.scan(split_tree(tmp_path, 6, 5))
    write(path)
    with pytest.raises(UserError, match=match) as caught:
        tree.read(nowhere(tmp_path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # TensorFlow's second telling


def test_a_palette_of_grays_in_order_is_none(tmp_path):
    Image.new("P", (5, 6)).save(split_tree(tmp_path, 6, 5) / "train/dog/a.bmp", "BMP")
    assert read(tmp_path).train.x.shape == (3, 6, 5, 1)


ABORTS = """
import os, sys
from zoo.data import decode, load
def die(path):
    os.write(2, b"last words\\n")
    os.abort()
decode.read_file = die
load.load(sys.argv[1], data_dir="tfds")
"""


def test_what_is_said_before_an_abort_while_decoding_is_not_lost(tmp_path, command):
    done = command("-c", ABORTS, str(split_tree(tmp_path / "tree", 6, 5)))
    assert done.returncode == -signal.SIGABRT
    assert "last words" in done.stderr
