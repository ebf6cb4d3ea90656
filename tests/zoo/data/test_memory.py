"""Tests that datasets which do not fit in memory are refused before reading."""

import psutil
import pytest

from tests.zoo.data.written import idx_arrays, split_tree, write_idx
from zoo.data import load, memory
from zoo.errors import RunError


@pytest.mark.parametrize("layout", ["idx", "tree"])
def test_directories(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 200)
    if layout == "idx":
        directory = write_idx(tmp_path / "images", idx_arrays())
        shapes = "12x4x3x1 and 5x4x3x1"
    else:
        directory = split_tree(tmp_path / "images")
        shapes = "3x6x5x3 and 1x6x5x3"
    with pytest.raises(RunError, match=f"GB for {shapes} pixels. Available: 0.0"):
        load.load(str(directory), data_dir=str(tmp_path / "tfds"))


def test_the_smaller_splits_stay_in_memory():
    shapes = [(100, 10, 10, 1), (10, 10, 10, 1)]
    for limit, mapped in (
        (None, [False, False]),
        (33_000, [False, False]),
        (32_999, [True, False]),
        (2_999, [True, True]),
    ):
        assert memory.choose_mapped(shapes, limit, "x") == mapped


def test_prepared_data_whatever_their_size_on_disk(data_dir, digits):
    # Three copies of 1,797 images of 16 megapixels are 90 GB: refused at once.
    if psutil.virtual_memory().total > 90e9:
        pytest.skip("this machine has the memory")
    before = psutil.Process().memory_info().rss
    with pytest.raises(
        RunError, match=r"Needed: 90.4 GB for 1437x4096x4096x1 and 360x"
    ):
        load.load("digits", data_dir=str(data_dir), image_size=(4096, 4096))
    assert psutil.Process().memory_info().rss - before < 200e6


@pytest.mark.parametrize(
    ("controllers", "limit", "usage"),
    [
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
@pytest.mark.parametrize("limited", [".", "job", "job/step"])
def test_the_limit_of_a_control_group_counts(
    tmp_path, controllers, limit, usage, limited
):
    own = tmp_path / "own"
    own.write_text(f"4:cpu:/\n3:{controllers}:/job/step\n")
    root = tmp_path / "groups" / controllers
    (root / "job/step").mkdir(parents=True)
    (root / limit).write_text("max\n")
    group = root / limited
    (group / limit).write_text("5000\n")
    (group / usage).write_text("3000\n")
    (group / "memory.stat").write_text("anon 2900\ninactive_file 100\n")
    assert memory.available(tmp_path / "groups", own) == 2100
    own.write_text("4:cpu:/job\n")
    assert memory.available(tmp_path / "groups", own) > 1e6
