"""Reads a PyTorch state_dict of the years before 2020, without PyTorch.

Such a file is a sequence: three pickles (a magic number, the version and facts about
the machine), a pickle of the tensors' descriptions, a pickle of the keys of their
storages, and then each storage as a 64-bit count and its raw numbers.
"""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any, BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Unpickler(pickle.Unpickler):
    """Knows the four names of such a file, and no others, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # Storage, offset, shape and strides; gradients and hooks are left out.
            return lambda *about: about[:4]
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype]:
        _, dtype, key, *_ = pid
        return key, dtype


def read(content: bytes) -> dict[str, np.ndarray]:
    """Returns the tensors of a file's content by name, in the order of the file.

    The tensors may be views of their storages with any strides, such as transposed
    ones: reshaping the numbers without the strides would give other weights.

    Raises:
        ValueError: it is not such a file, or it is cut off.
        pickle.UnpicklingError: it names anything but tensors.
    """
    file = io.BytesIO(content)
    magic, _, _, tensors, keys = (_Unpickler(file).load() for _ in range(5))
    if magic != _MAGIC:
        raise ValueError("it is not a state_dict of PyTorch's legacy format")
    dtypes = {key: dtype for (key, dtype), *_ in tensors.values()}
    storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    return {
        name: _view(storages[key], offset, shape, strides)
        for name, ((key, _), offset, shape, strides) in tensors.items()
    }


def _read_storage(file: BinaryIO, dtype: np.dtype) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little")
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError("it is cut off")
    return np.frombuffer(content, dtype)


def _view(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> np.ndarray:
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if not 0 <= offset <= last < max(len(storage), 1):
        raise ValueError("a tensor extends beyond its storage")
    in_bytes = [step * storage.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, in_bytes, writeable=False
    )
