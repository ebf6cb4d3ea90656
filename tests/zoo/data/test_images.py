"""Tests decoding trees of images, and what is said about damaged ones."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.zoo.data.written import class_tree, pixels, save, split_tree
from zoo.data import folder, images
from zoo.data.source import Options
from zoo.errors import UserError


def read(root, image_size=None, **options):
    """Decodes a tree, without keeping what is decoded."""
    tree = folder.scan(root)
    size = images.size_of(tree, Options(image_size=image_size))
    with tempfile.TemporaryDirectory() as data_dir:
        place = Path(data_dir, "decoded", "tree")
        return images.read(tree, place, size, Options(**options))


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


def test_sizes_follow_the_first_image_or_the_given_size(tmp_path):
    split_tree(tmp_path, 6, 5)
    save(tmp_path / "train/dog/a.bmp", np.full((20, 40), 77, np.uint8))
    train = read(tmp_path).train
    assert train.x.shape == (3, 6, 5, 1) and (train.x[2] == 77).all()
    assert read(tmp_path, (8, 9)).test.x.shape == (1, 8, 9, 1)


def test_each_image_is_decoded_once(tmp_path, monkeypatch):
    """Except for a few that show whether a tree has colors."""
    for i in range(60):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", pixels(i, 6, 5, 3))
    decoded, count = images._decoded, []

    def counted(*arguments):
        tf.py_function(lambda: count.append(1), [], [])
        return decoded(*arguments)

    monkeypatch.setattr(images, "_decoded", counted)
    assert read(tmp_path).train.x.shape == (48, 6, 5, 3)
    assert len(count) == 61


def test_a_progress_bar_is_shown_while_images_are_decoded(tmp_path, capsys):
    tree = folder.scan(class_tree(tmp_path / "tree", count=40))
    place = tmp_path / "data" / "decoded"
    images.read(tree, place / "quiet", (5, 4), Options())
    assert capsys.readouterr().out == ""
    asked = Options(progress=True)
    images.read(tree, place / "shown", (5, 4), asked)
    out = capsys.readouterr().out
    assert out.startswith("Decoding the images") and "80/80" in out and "32/80" in out
    images.read(tree, place / "shown", (5, 4), asked)  # is in the cache
    assert capsys.readouterr().out == ""


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
    match = (
        f"3 images do not decode: {broken[0]} is empty; {broken[1]} is .*damaged; "
        f"{broken[2]} is .* pass --skip_damaged"
    )
    with pytest.raises(UserError, match=match) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # TensorFlow's messages about the same


def test_damaged_files_can_be_skipped(tmp_path):
    broken = break_some(tmp_path / "tree")
    tree = folder.scan(tmp_path / "tree")
    cache = tmp_path / "data" / "decoded" / "tree"
    for _ in range(2):  # decoded, and read again
        contents = images.read(tree, cache, (5, 4), Options(skip_damaged=True))
        assert len(contents.train.x) + len(contents.test.x) == 17
        assert [line.split()[0] for line in contents.damaged] == [*map(str, broken)]
    # The others are in the splits in which they would be without the damage.
    kept = [(p, label) for p, label in tree.train if Path(p) not in broken]
    np.testing.assert_array_equal(contents.train.y, [label for _, label in kept])
    for image, (path, _) in zip(contents.train.x, kept, strict=True):
        np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(path)))
    with pytest.raises(UserError, match="3 images do not decode"):
        images.read(tree, cache, (5, 4), Options())
    # A copy in another place has the same cache; its own files are named.
    (tmp_path / "tree").rename(tmp_path / "moved")
    moved = folder.scan(tmp_path / "moved")
    with pytest.raises(UserError, match=f"do not decode: {tmp_path}/moved/"):
        images.read(moved, cache, (5, 4), Options())


def test_validation_is_decoded_and_kept_too(tmp_path):
    root = split_tree(tmp_path / "tree", 6, 5, 3)
    for i, name in enumerate(("cat/1.png", "dog/2.png")):
        save(root / "val" / name, pixels(20 + i, 6, 5, 3))
    tree, place = folder.scan(root), tmp_path / "data" / "decoded" / "tree"
    for _ in range(2):  # decoded, and read again
        found = images.read(tree, place, (6, 5), Options()).validation
        expected = np.stack([pixels(20 + i, 6, 5, 3) for i in range(2)])
        np.testing.assert_array_equal(found.x, expected)
        np.testing.assert_array_equal(found.y, [0, 1])
    (root / "val/cat/1.png").write_bytes(b"")
    contents = read(root, skip_damaged=True)
    assert len(contents.damaged) == 1 and contents.validation.y.tolist() == [1]
    (root / "val/dog/2.png").write_bytes(b"")
    with pytest.raises(UserError, match="All validation images are damaged"):
        read(root, skip_damaged=True)


def test_without_a_single_image_that_decodes_no_flag_is_advised(tmp_path):
    for name in ("cat/0.png", "cat/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"No image decodes: .*0.png is empty.*\.$"):
        read(tmp_path, skip_damaged=True)


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
