"""Tests that one file adds an architecture, and that importing zoo is cheap."""

from __future__ import annotations

import re
import shutil

import keras
import numpy as np
import pytest

import zoo
from tests.conftest import ROOT
from zoo import registry
from zoo.commands import list as catalog
from zoo.errors import UserError

NOT_NEEDED = shutil.ignore_patterns("node_modules", "__pycache__", "weights")
(GUIDE,) = re.findall(
    r"```python\n(.*?)```",
    (ROOT / "docs" / "adding_an_architecture.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


@pytest.fixture(autouse=True)
def _architectures(monkeypatch):
    """Forgets what a test registers."""
    monkeypatch.setattr(registry, "_ARCHITECTURES", dict(registry._ARCHITECTURES))


def test_the_architecture_of_the_guide_says_what_others_need_to_know():
    exec(GUIDE, {"__name__": "zoo.models.mobilenet"})
    peer = keras.applications.MobileNetV2((32, 32, 3), weights=None, classes=10)
    row = rf"mobilenet +{peer.count_params():,} +[\d,]{{9,}} +- +- +images 32x32x3 +def"
    assert re.search(row, catalog.tables())
    assert registry.default_dataset("mobilenet") == "cifar10"
    with pytest.raises(UserError, match="32x32 pixels or more.*28x40.*--image_size=32"):
        zoo.create_model("mobilenet", input_shape=(28, 40, 1), num_classes=10)


@pytest.mark.slow
def test_the_file_of_the_guide_passes_the_shared_tests(command, tmp_path, data_dir):
    for part in ("zoo", "export", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=NOT_NEEDED)
    for name in ("train.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "zoo" / "models" / "mobilenet.py").write_text(GUIDE, encoding="utf-8")
    path = {"PYTHONPATH": str(tmp_path)}
    shared = ["pytest", "tests/zoo/models", "-k", "mobilenet"]
    done = command("-m", *shared, timeout=900, **path)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b1[0-9] passed", done.stdout)
    flags = ["--model=mobilenet", "--dataset=digits", f"--data_dir={data_dir}"]
    flags += ["--image_size=32", "--epochs=1", "--export=none"]
    done = command("train.py", *flags, timeout=300, **path)
    assert done.returncode == 0, done.stderr
    code = (
        "import zoo, keras;"
        "m = keras.models.load_model('runs/mobilenet-digits/model.keras');"
        "print(type(m).__name__, zoo.list_recipes('mobilenet'))"
    )
    done = command("-c", code, **path)
    assert done.stdout == "MobileNetV2 ['default']\n", done.stderr


def test_importing_zoo_is_cheap_and_keras_finds_its_classes_later(command, tmp_path):
    recipe = zoo.get_recipe("mlp").override(loss="one_hot_sum")
    size = {"input_shape": (4, 4, 1), "num_classes": 2}
    zoo.create_model("mlp", recipe=recipe, **size).save(tmp_path / "model.keras")
    code = (
        "import sys, zoo; zoo.list_models();"
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules]);"
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
        registry.get_recipe("empty")


def test_a_model_without_a_default_dataset_asks_for_one():
    mlp = registry.get_architecture("mlp")
    registry.register("guest", mlp.model_class, mlp.recipes, default_dataset=None)
    with pytest.raises(UserError, match="--dataset is missing: guest has no default"):
        registry.default_dataset("guest")


def test_an_architecture_brings_weights_from_outside():
    mlp = registry.get_architecture("mlp")

    def fake(side, **arguments):
        model = mlp.model_class(3, hidden=(8, 8), **arguments)
        model.build((None, 4, 4, 1))
        model.set_weights([np.full(w.shape, 0.5) for w in model.get_weights()])
        return model

    registry.register("guest", mlp.model_class, mlp.recipes, weights={"fake": fake})
    same = zoo.create_model("guest", weights="fake")
    assert all((weight.numpy() == 0.5).all() for weight in same.weights)
    other = zoo.create_model("guest", weights="fake", num_classes=2)
    assert other.hidden1.kernel.shape == (16, 8)  # as the weights were made
    assert (other.hidden1.kernel.numpy() == 0.5).all()
    assert other.logits.kernel.shape == (8, 2)
