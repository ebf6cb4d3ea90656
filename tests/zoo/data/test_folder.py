"""Trees of image files: layouts, splits, decoding, and what is wrong with them."""

import contextlib
import operator
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.zoo.data.written import class_tree, pixels, save, split_tree
from zoo.data import folder
from zoo.data.cache import Cache
from zoo.errors import UserError


def read(root, image_size=None, **options):
    """Decodes a tree, without keeping what is decoded."""
    tree = folder.scan(root)
    size = image_size or tree.native_size(**options)
    return tree.read(nowhere(root), size, **options)


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
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
        (palette_bmp, "BMP with a palette"),
    ],
)
def test_bad_image_is_named_once(tmp_path, name, write, match, capfd):
    path, tree = tmp_path / name, folder.scan(split_tree(tmp_path, 6, 5))
    write(path)
    with pytest.raises(UserError, match=match) as caught:
        tree.read(nowhere(tmp_path), (6, 5))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # TensorFlow's second telling


def break_some(root: Path) -> list[Path]:
    """Writes a tree of 20 images, three of which do not decode, one of them first."""
    class_tree(root)
    broken = [root / name for name in ("cat/0.png", "cat/1.png", "dog/7.png")]
    broken[0].write_bytes(b"")
    Image.fromarray(pixels(0, 64, 64, 3)).save(broken[1], "JPEG")
    broken[1].write_bytes(broken[1].read_bytes()[:900])
    broken[2].write_text("<html>not found</html>")
    return broken


def test_all_damaged_files_are_named_at_once(tmp_path, capfd):
    broken = break_some(tmp_path)
    match = f"3 images do not decode: {broken[0]} is empty; {broken[1]} is a damaged"
    for size in (None, (5, 4)):
        with pytest.raises(UserError, match=match) as caught:
            read(tmp_path, size)
        assert f"; {broken[2]} is not a PNG" in str(caught.value)
        assert "--skip_damaged" in str(caught.value)
    assert capfd.readouterr().err == ""


def test_damaged_files_can_be_skipped(tmp_path):
    broken = break_some(tmp_path / "tree")
    tree = folder.scan(tmp_path / "tree")
    cache = Cache(tmp_path / "data" / "decoded" / "tree", limit=None, what="tree")
    for _ in range(2):  # decoded, and read again
        contents = tree.read(cache, (5, 4), skip_damaged=True)
        assert len(contents.train.x) + len(contents.test.x) == 17
        assert [line.split()[0] for line in contents.damaged] == [*map(str, broken)]
    # The others are in the splits in which they would be without the damage.
    kept = [(p, label) for p, label in tree.train if Path(p) not in broken]
    np.testing.assert_array_equal(contents.train.y, [label for _, label in kept])
    for image, (path, _) in zip(contents.train.x, kept, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(path)))
    with pytest.raises(UserError, match="3 images do not decode"):
        tree.read(cache, (5, 4))
    # A copy in another place has the same cache; its own files are named.
    (tmp_path / "tree").rename(tmp_path / "moved")
    moved = folder.scan(tmp_path / "moved")
    with pytest.raises(UserError, match=f"do not decode: {tmp_path}/moved/"):
        moved.read(cache, (5, 4))


def test_without_a_single_image_that_decodes_no_flag_is_advised(tmp_path):
    for name in ("cat/0.png", "cat/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match="No image decodes: .*0.png is empty") as caught:
        read(tmp_path, skip_damaged=True)
    assert "--skip_damaged" not in str(caught.value)


def test_a_class_needs_an_image_that_is_not_damaged(tmp_path):
    class_tree(tmp_path, ["cat", "dog", "emu"], count=3)
    for path in tmp_path.glob("emu/*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="All training images of the class 'emu'"):
        read(tmp_path, skip_damaged=True)


def test_large_images_need_a_size(tmp_path):
    tree = folder.scan(class_tree(tmp_path))
    path, *others = (Path(path) for path in tree.paths())
    save(path, pixels(0, 400, 600, 3))
    for other in others:  # are not read
        other.write_bytes(b"")
    match = f"400x600 pixels .{path}.*Add --image_size=64"
    with pytest.raises(UserError, match=match):
        read(tmp_path)


def test_webp_and_rotated_jpeg_are_read_upright(tmp_path):
    class_tree(tmp_path)
    upright = Image.fromarray(np.kron(pixels(0, 3, 2), np.ones((8, 8), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "cat/20.jpg", exif=exif, quality=95)
    upright.save(tmp_path / "cat/21.webp", lossless=True)
    tree = folder.scan(tmp_path)
    contents = read(tmp_path, (24, 16))
    images = np.concatenate([contents.train.x, contents.test.x])
    found = dict(zip(tree.paths(), images[..., 0].astype(int), strict=True))
    expected = np.asarray(upright).astype(int)
    np.testing.assert_array_equal(found[f"{tmp_path}/cat/21.webp"], expected)
    assert np.abs(found[f"{tmp_path}/cat/20.jpg"] - expected).mean() < 10


def test_a_palette_of_grays_in_order_is_none(tmp_path):
    Image.new("P", (5, 6)).save(split_tree(tmp_path, 6, 5) / "train/dog/a.bmp", "BMP")
    assert read(tmp_path).train.x.shape == (3, 6, 5, 1)
