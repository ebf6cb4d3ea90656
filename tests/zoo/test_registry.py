"""Adding an architecture is writing one file; importing zoo costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

NEW_MODEL = '''
"""One dense layer."""

import keras

from zoo.models.base import TapeModel
from zoo.recipe import Recipe
from zoo.registry import register

RECIPES = {"default": Recipe(epochs=1), "quick": Recipe(epochs=1, batch_size=512)}


@register("tiny", recipes=RECIPES)
class Tiny(TapeModel):
    """Flatten -> num_classes."""

    def __init__(self, num_classes, **kwargs):
        super().__init__(num_classes, **kwargs)
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(num_classes)

    def call(self, image, training=False):
        return self.dense(self.flatten(self.rescale(image)))
'''


def test_one_new_file_is_a_new_architecture(command, tmp_path, data_dir):
    import shutil

    from tests.conftest import ROOT

    shutil.copytree(ROOT / "zoo", tmp_path / "zoo")
    shutil.copytree(ROOT / "export", tmp_path / "export")
    shutil.copy(ROOT / "train.py", tmp_path)
    (tmp_path / "zoo" / "models" / "tiny.py").write_text(NEW_MODEL)
    flags = ["--model=tiny", "--dataset=digits", f"--data_dir={data_dir}"]
    done = command(
        "train.py", *flags, "--recipe=quick", "--export=none", PYTHONPATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    code = (
        "import keras, zoo;"
        "m = keras.models.load_model('runs/tiny-quick-digits/model.keras');"
        "print(type(m).__name__, zoo.list_models(), zoo.list_recipes('tiny'))"
    )
    done = command("-c", code, PYTHONPATH=str(tmp_path))
    assert "Tiny" in done.stdout, done.stderr
    assert "'tiny'" in done.stdout
    assert "['default', 'quick']" in done.stdout


@pytest.mark.parametrize(
    "order", ["import zoo, keras", "import keras, zoo", "import tensorflow, zoo, keras"]
)
def test_keras_finds_the_classes_whichever_is_imported_first(command, order, tmp_path):
    import zoo

    model = zoo.create_model("mlp", input_shape=(4, 4, 1), num_classes=2)
    model.save(tmp_path / "model.keras")
    code = f"{order}; print(keras.models.load_model('model.keras').name)"
    done = command("-c", code)
    assert done.stdout == "mlp\n", done.stderr


def test_importing_zoo_imports_neither_tensorflow_nor_numpy(command):
    code = (
        "import sys, zoo; zoo.list_models(); zoo.list_recipes('mlp');"
        "print([m for m in ('tensorflow', 'keras', 'numpy') if m in sys.modules])"
    )
    assert command("-c", code).stdout == "[]\n"


def test_the_tests_themselves_run_on_a_supported_python():
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)


@pytest.mark.parametrize(
    "first",
    [
        "from zoo.models.base import TapeModel",
        "from zoo.models.convnet import ConvNet",
        "import keras, zoo",
        "import zoo, keras",
    ],
)
def test_whatever_is_imported_first_everything_is_registered(first):
    check = "print(keras.saving.get_registered_object('zoo>ConvNet').__name__)"
    done = subprocess.run(
        [sys.executable, "-c", f"{first}; import keras; {check}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "ConvNet\n", done.stderr
