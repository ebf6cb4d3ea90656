"""Tests the layout, name and fingerprint of local directories."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.zoo.data.written import class_tree, idx_arrays, pixels, save, write_idx
from zoo.data import folder, load, local
from zoo.errors import UserError


@pytest.mark.parametrize("files", [[], ["a.txt"], ["1.png", "2.png"], ["x/y/z.png"]])
def test_neither_layout(tmp_path, files):
    (tmp_path / "data").mkdir()
    for name in files:
        save(tmp_path / "data" / f"{name}.png", pixels(0, 4, 4))
    (tmp_path / "data/README").write_text("x")
    with pytest.raises(UserError, match=r"IDX files .*train/CLASS/") as caught:
        local.open_directory(tmp_path / "data")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("missing", "does not exist"),
        ("file", "is a file"),
        ("empty", "is empty"),
        ("x" * 300, "Cannot read|does not exist"),
    ],
)
def test_directory_that_is_none(tmp_path, name, match):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=match):
        local.check_directory(tmp_path / name)


@pytest.mark.parametrize("prefix", ["", "./", "there/"])
def test_the_directory_that_may_be_meant_is_named(tmp_path, monkeypatch, prefix):
    monkeypatch.chdir(tmp_path)
    (tmp_path / prefix / "photos").mkdir(parents=True)
    meant = f"Did you mean '{prefix.removeprefix('./')}photos'?"
    with pytest.raises(UserError, match=re.escape(meant)):
        load.check_name(f"{prefix}photo", None)


def test_unreadable_directory(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    monkeypatch.setattr(Path, "iterdir", refuse)
    for action in (local.check_directory, folder.scan):
        with pytest.raises(UserError, match=r"Cannot read .*Permission denied"):
            action(tmp_path)


@pytest.fixture(params=["tree", "idx"])
def directory(request, tmp_path):
    path = tmp_path / "my data"
    if request.param == "tree":
        return class_tree(path)
    return write_idx(path, idx_arrays())


def test_a_copy_is_the_same_data(directory, tmp_path):
    first = local.open_directory(directory)
    copy = Path(
        shutil.copytree(directory, tmp_path / "copy", copy_function=shutil.copy)
    )
    os.utime(next(path for path in copy.rglob("*") if path.is_file()), ns=(1, 1))
    assert local.open_directory(copy).fingerprint == first.fingerprint
    assert first.fingerprint.startswith("sha256:") and len(first.fingerprint) == 71
    assert first.name == "my-data"


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_the_fingerprint_follows_names_and_contents(directory, change):
    path = next(path for path in directory.rglob("*") if path.is_file())
    before, status = local.open_directory(directory).fingerprint, path.stat()
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
    assert local.open_directory(directory).fingerprint != before


def test_fingerprints_of_older_versions_are_known(directory):
    """The digest covers names, sizes, times, and the image size of resized trees."""
    source = load.open_dataset(str(directory), default="mnist", data_dir=None)
    size = None if "idx" in next(directory.iterdir()).name else (6, 7)
    spec = source.read(image_size=size, read_only=True).spec
    old = source.opened.stat_digest()
    assert len(old) == 16
    assert load.same_data(source, spec, spec.fingerprint)
    assert load.same_data(source, spec, old)
    if size:
        assert load.same_data(source, spec, f"{old}-6x7")
    for other in (f"{old}-7x6", f"{old[:-1]}x", "sha256:" + 64 * "0", "mnist/3.0.1"):
        assert not load.same_data(source, spec, other)
    os.utime(next(path for path in directory.rglob("*") if path.is_file()), ns=(1, 1))
    assert not load.same_data(source, spec, old)


def test_the_old_digest_is_what_it_was(tmp_path):
    for i, name in enumerate(("a/1.png", "a/10.png", "a-b/2.png", "a-b/3.png")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(i))
        os.utime(path, ns=(10**18, 10**18))
    # An early version computed this digest for these files.
    assert local.open_directory(tmp_path).stat_digest() == "5d689643150c5d5a"


def test_many_files_are_read_through_fast(tmp_path):
    folder_ = tmp_path / "a"
    folder_.mkdir()
    for i in range(6000):
        (folder_ / f"{i}.png").write_bytes(b"%d" % i)
    began = time.process_time()
    assert local.open_directory(tmp_path).fingerprint
    assert time.process_time() - began < 2  # 0.2 for a tenth of CIFAR-10
