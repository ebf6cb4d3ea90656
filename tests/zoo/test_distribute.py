"""Several workers, several devices: the same training as on one."""

from __future__ import annotations

import numpy as np
import pytest

import zoo

RECIPES = [(m, r) for m in zoo.list_models() for r in zoo.list_recipes(m)]
# 480 examples: batches of 42, and of 18 at the end of a pass where it is kept.
NUM_TRAIN, BATCH, STEPS = 480, 42, 50


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def images(tmp_path_factory, digits):
    """A directory of IDX files: digits of 12x12 pixels."""
    path = tmp_path_factory.mktemp("images")
    for split, name, size in (("train", "train", NUM_TRAIN), ("test", "t10k", 61)):
        data = getattr(digits, split)
        pixels = np.ascontiguousarray(data.x[:size, 2:26:2, 2:26:2, 0])
        write_idx(path / f"{name}-images-idx3-ubyte", pixels)
        write_idx(path / f"{name}-labels-idx1-ubyte", data.y[:size].astype("uint8"))
    return path


@pytest.fixture(scope="module")
def case(images, data_dir):
    """Makes the fields of a Config that trains 50 steps."""

    def make(model, recipe, run_dir, **fields):
        regression = zoo.get_recipe(model, recipe).task == "regression"
        return {
            "model": model,
            "recipe": recipe,
            "overrides": {"epochs": 2, "batch_size": BATCH},
            "dataset": "linear_regression" if regression else str(images),
            "data_dir": str(data_dir),
            "run_dir": str(run_dir),
            "progress": "none",
            **fields,
        }

    return make


@pytest.fixture(scope="module", autouse=True)
def fifty_steps():
    """Makes rounds of 25 steps of all recipes; there is no flag for it."""
    import dataclasses

    from zoo import recipe, registry

    def shorter(model, name="default"):
        return dataclasses.replace(original(model, name), steps_per_epoch=STEPS // 2)

    del recipe
    original, registry.get_recipe = registry.get_recipe, shorter
    yield
    registry.get_recipe = original
