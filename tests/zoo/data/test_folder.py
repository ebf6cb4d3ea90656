"""Tests the layouts and splits of trees of images, and what is wrong with them."""

import contextlib
import operator
import os
import shutil
from pathlib import Path

import pytest

from tests.zoo.data.written import class_tree, pixels, save, split_tree
from zoo.data import folder
from zoo.errors import UserError


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
    tree = folder.scan(tmp_path)
    assert tree.class_names == ("1", "9", "10")
    assert len(tree.paths()) == 6 and tree.ignored == ()


@pytest.mark.parametrize(
    ("layout", "classes"), [(class_tree, ""), (split_tree, "train/")]
)
def test_what_is_ignored_is_listed(tmp_path, layout, classes):
    root = layout(tmp_path) / classes
    save(root / "cat/nested/1.png", pixels(0, 6, 5))
    for name in ("cat/a.HEIC", "cat/b.heic", "cat/LICENSE", "dog/.hidden", "c.png"):
        (root / name).write_text("x")
    (tmp_path / "README.md").write_text("x")
    said = folder.kinds(folder.scan(tmp_path).ignored)
    assert said.startswith("2 .heic files, ")
    assert sorted(said.split(", ")[1:]) == [
        "1 .md file",
        "1 .png file",
        "1 file",
        "1 folder",
    ]


def test_a_class_of_other_files_says_what_it_holds(tmp_path):
    class_tree(tmp_path)
    (tmp_path / "emu").mkdir()
    for i in range(3):
        (tmp_path / "emu" / f"{i}.heic").write_text("x")
    with pytest.raises(UserError, match=r"emu has no .*It holds 3 \.heic files\."):
        folder.scan(tmp_path)


def test_folders_beside_train_and_test(tmp_path):
    split_tree(tmp_path / "splits", 6, 5)
    (tmp_path / "splits/notes").mkdir()  # is ignored
    tree = folder.scan(tmp_path / "splits")
    assert tree.class_names == ("cat", "dog")
    assert tree.ignored == (str(tmp_path / "splits/notes"),)
    class_tree(tmp_path / "classes", ["bus", "train"])
    assert folder.scan(tmp_path / "classes").class_names == ("bus", "train")


@pytest.mark.parametrize("name", ["validation", "val", "valid"])
def test_a_folder_for_validation_is_a_split(tmp_path, name):
    split_tree(tmp_path)
    paths = [
        save(tmp_path / name / "dog" / f"{i}.png", pixels(i, 6, 5)) for i in (1, 2)
    ]
    tree = folder.scan(tmp_path)
    assert tree.validation == tuple((str(path), 1) for path in paths)
    assert [*tree.splits()] == ["train", "test", "validation"]
    assert {str(path) for path in paths} < {*tree.paths()}
    assert tree.ignored == () and tree.class_names == ("cat", "dog")


def add(path: Path) -> None:
    save(path, pixels(0, 6, 5))


def add_validations(root: Path) -> None:
    for name in ("val", "valid"):
        add(root / name / "cat/1.png")


def validate_without_test(root: Path) -> None:
    (root / "test").rename(root / "val")


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
        (split_tree, add, "val/emu/c.png", "val/emu: .*'emu' is not in .*train"),
        (split_tree, Path.mkdir, "valid/cat", "valid/cat has no images"),
        (split_tree, Path.mkdir, "validation", "validation has no class folders"),
        (split_tree, add_validations, ".", "validation, val and valid. Keep one"),
        (split_tree, validate_without_test, ".", "Rename val to test, or add a folder"),
        (split_tree, Path.mkdir, "train/emu", "emu has no images"),
        (split_tree, Path.mkdir, "test/cat", "cat has no images"),
        (split_tree, without_classes, ".", "has no class folders"),
    ],
)
def test_broken_layout(tmp_path, layout, change, name, match):
    path = layout(tmp_path) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    change(path)
    with pytest.raises(UserError, match=match) as caught:
        folder.scan(tmp_path)
    assert "\n" not in str(caught.value)
