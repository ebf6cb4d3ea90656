"""Tests that one file adds an architecture, and that importing zoo is cheap."""

from __future__ import annotations

import re
import shutil

import pytest

import zoo
from tests.conftest import ROOT
from zoo import registry

NOT_NEEDED = shutil.ignore_patterns("node_modules", "__pycache__")


def test_the_file_of_the_manual_is_a_new_architecture(command, tmp_path, data_dir):
    for part in ("zoo", "export"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=NOT_NEEDED)
    shutil.copy(ROOT / "train.py", tmp_path)
    manual = (ROOT / "docs" / "adding_an_architecture.md").read_text()
    pattern = r"`zoo/models/tiny.py`.*?```python\n(.*?)```"
    (code,) = re.findall(pattern, manual, re.DOTALL)
    (tmp_path / "zoo" / "models" / "tiny.py").write_text(code)
    flags = ["--model=tiny", "--dataset=digits", f"--data_dir={data_dir}", "--epochs=1"]
    done = command("train.py", *flags, "--export=none", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    code = (
        "import tensorflow, keras, zoo;"
        "m = keras.models.load_model('runs/tiny-digits/model.keras');"
        "print(type(m).__name__, zoo.list_models(), zoo.list_recipes('tiny'))"
    )
    done = command("-c", code, PYTHONPATH=str(tmp_path))
    models = sorted([*zoo.list_models(), "tiny"])
    expected = f"Tiny {models} ['default']\n"
    assert done.stdout == expected, done.stderr


def test_importing_zoo_is_cheap_and_keras_finds_its_classes_later(command, tmp_path):
    recipe = zoo.get_recipe("mlp").override(loss="one_hot_sum")
    size = {"input_shape": (4, 4, 1), "num_classes": 2}
    zoo.create_model("mlp", recipe=recipe, **size).save(tmp_path / "model.keras")
    code = (
        "import sys, zoo; zoo.list_models();"
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules]);"
        "from zoo.models.convnet import ConvNet; import keras;"
        "m = keras.models.load_model('model.keras');"
        "print(*(type(part).__name__ for part in (m, m.loss, m.optimizer)))"
    )
    done = command("-c", code)
    expected = "[]\nThreeLayerMLP OneHotSquaredError AdamW\n"
    assert done.stdout == expected, done.stderr


def test_a_name_cannot_be_registered_twice():
    mlp = registry.get_architecture("mlp")
    with pytest.raises(ValueError, match="'mlp' is registered twice"):
        registry.register("mlp", mlp.model_class, mlp.recipes)
    with pytest.raises(ValueError, match="needs a recipe named 'default'.* best"):
        registry.register("new", mlp.model_class, {"best": mlp.recipes["best"]})


def test_a_file_that_registers_nothing_is_named(tmp_path, monkeypatch):
    (tmp_path / "empty.py").write_text("")
    monkeypatch.setattr(registry, "_MODELS", tmp_path)
    monkeypatch.setattr(registry.importlib, "import_module", lambda name: None)
    with pytest.raises(ValueError, match=r"zoo/models/empty.py must register .*empty"):
        zoo.get_recipe("empty")
