"""Tests the reader of PyTorch's legacy files, on files written here and a real one."""

from __future__ import annotations

import collections
import io
import os
import pickle
import sys
import types

import numpy as np
import pytest

from zoo.models import state_dict


class Storage:
    """Stands for torch.FloatStorage and its siblings; pickled by reference."""

    def __init__(self, key, kind, numbers):
        self.key, self.kind, self.numbers = key, kind, numbers


class Tensor:
    """A view of a storage, pickled as PyTorch does."""

    def __init__(self, storage, offset, shape, strides):
        self.about = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.about


@pytest.fixture
def torch(monkeypatch):
    """Fakes the four names of PyTorch that a file refers to."""
    package, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*about):
        raise AssertionError("only its name is used")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    for kind in ("FloatStorage", "LongStorage"):
        setattr(package, kind, type(kind, (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return package


def write(torch, tensors, magic=0x1950A86A20F9469CFC6C):
    """Returns the content of a legacy file."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, Storage):
                kind = getattr(torch, obj.kind)
                return "storage", kind, obj.key, "cpu", obj.numbers.size, None
            return None

    file = io.BytesIO()
    for part in (magic, 1001, {"little_endian": True}, tensors):
        Pickler(file, 2).dump(part)
    storages = {t.about[0].key: t.about[0] for t in tensors.values()}
    Pickler(file, 2).dump(list(storages))
    for storage in storages.values():
        file.write(storage.numbers.size.to_bytes(8, "little"))
        file.write(storage.numbers.tobytes())
    return file.getvalue()


def test_tensors_are_read_with_their_strides(torch):
    numbers = np.arange(24, dtype="<f4")
    storage = Storage("a", "FloatStorage", numbers)
    count = Storage("b", "LongStorage", np.array([7], "<i8"))
    content = write(
        torch,
        {
            "plain": Tensor(storage, 0, (4, 6), (6, 1)),
            "transposed": Tensor(storage, 0, (6, 4), (1, 6)),
            "later": Tensor(storage, 5, (2, 3), (3, 1)),
            "count": Tensor(count, 0, (), ()),
        },
    )
    found = state_dict.read(content)
    assert list(found) == ["plain", "transposed", "later", "count"]
    np.testing.assert_array_equal(found["plain"], numbers.reshape(4, 6))
    np.testing.assert_array_equal(found["transposed"], numbers.reshape(4, 6).T)
    np.testing.assert_array_equal(found["later"], numbers[5:11].reshape(2, 3))
    assert found["count"] == 7


def test_nothing_but_tensors_is_loaded(torch, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        state_dict.read(pickle.dumps(Evil()))
    assert not (tmp_path / "made").exists()


def test_files_that_are_damaged_are_refused(torch):
    storage = Storage("a", "FloatStorage", np.arange(24, dtype="<f4"))
    good = {"plain": Tensor(storage, 0, (4, 6), (6, 1))}
    with pytest.raises(ValueError, match="cut off"):
        state_dict.read(write(torch, good)[:-1])
    with pytest.raises(ValueError, match="legacy format"):
        state_dict.read(write(torch, good, magic=1))
    for view in ((1, (4, 6), (6, 1)), (0, (4, 6), (7, 1)), (0, (4, 6), (-6, 1))):
        with pytest.raises(ValueError, match="beyond its storage"):
            state_dict.read(write(torch, {"beyond": Tensor(storage, *view)}))
