"""Tests every registered architecture."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.commands.list import IMAGES
from zoo.errors import UserError
from zoo.training import trainer

SHAPES = [((28, 28, 1), 10), ((7, 9, 3), 4), ((32, 32, 3), 100)]
RECIPES = [(m, r) for m in zoo.list_models() for r in zoo.list_recipes(m)]


def examples(input_shape, num_classes, size=32):
    """Returns random raw pixels or numbers, with labels or targets."""
    rng = np.random.default_rng(0)
    if num_classes is None:
        x = rng.normal(size=(size, *input_shape)).astype("float32")
        return x, 3 * x + 2
    x = rng.integers(0, 256, (size, *input_shape)).astype("uint8")
    return x, rng.integers(0, num_classes, size).astype("int32")


def size_for(model, recipe="default"):
    """Returns a small input shape and number of classes that the recipe accepts."""
    recipe = zoo.get_recipe(model, recipe) if isinstance(recipe, str) else recipe
    return ((1,), None) if recipe.task == "regression" else ((12, 12, 1), 10)


def create(name, recipe="default", **options):
    """Returns a model for the smallest examples that runs eagerly."""
    input_shape, num_classes = size_for(name, recipe)
    return zoo.create_model(
        name,
        input_shape=input_shape,
        num_classes=num_classes,
        recipe=recipe,
        run_eagerly=True,
        **options,
    )


each_model = pytest.mark.parametrize("name", zoo.list_models())
each_recipe = pytest.mark.parametrize(("name", "recipe"), RECIPES)


@pytest.mark.parametrize(("input_shape", "num_classes"), SHAPES)
@each_model
def test_logits_have_the_shape_of_the_classes(name, input_shape, num_classes):
    model = zoo.create_model(name, input_shape=input_shape, num_classes=num_classes)
    x, _ = examples(input_shape, num_classes, size=3)
    assert model(x).shape == (3, num_classes)
    assert model(x).dtype == tf.float32


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@each_model
def test_logits_are_float32_where_the_rest_computes_in_16_bits(name, precision):
    with trainer.dtype_policy(precision):
        model = create(name)
    x, _ = examples((12, 12, 1), 10, size=3)
    assert model.compute_dtype == precision.removeprefix("mixed_")
    assert model(x).dtype == tf.float32
    assert {weight.dtype for weight in model.weights} == {"float32"}


@each_model
def test_uint8_and_float_pixels_are_the_same_to_the_model(name):
    model, (x, _) = create(name), examples((12, 12, 1), 10)
    np.testing.assert_array_equal(model(x), model(x.astype("float32")))


@each_recipe
def test_every_variable_learns_and_is_saved_in_a_keras_file(name, recipe, tmp_path):
    model, (x, y) = create(name, recipe), examples(*size_for(name, recipe))
    if name == "linear" and model.num_classes:
        x = x + 1  # the weights of a pixel that is always 0 would get no gradient
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(x, y)
    assert model.trainable_variables
    for variable, gradient, old in zip(
        model.trainable_variables, gradients, before, strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(gradient).max() > 0, variable.path
        assert np.abs(variable.numpy() - old).max() > 0, variable.path

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert type(loaded.optimizer) is type(model.optimizer)
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.test_on_batch(x, y) == pytest.approx(model.test_on_batch(x, y))
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_process_loads_the_file_of_every_recipe(command, tmp_path):
    for name, recipe in RECIPES:
        create(name, recipe).save(tmp_path / f"{name}-{recipe}.keras")
    code = (
        "import pathlib, zoo, keras\n"
        "for path in sorted(pathlib.Path().glob('*.keras')):\n"
        "    print(path.stem, keras.models.load_model(path).compiled)"
    )
    done = command("-c", code)
    expected = sorted(f"{name}-{recipe} True" for name, recipe in RECIPES)
    assert sorted(done.stdout.splitlines()) == expected, done.stderr


@each_model
def test_the_loss_falls(name, digits):
    model = zoo.create_model(name, input_shape=(14, 14, 1), num_classes=10)
    x, y = digits.train.x[:512, ::2, ::2], digits.train.y[:512]
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["accuracy"][-1] > 0.6


@each_model
def test_two_runs_of_one_seed_agree(name):
    def train():
        keras.utils.set_random_seed(5)
        model = create(name)
        model.train_on_batch(*examples((12, 12, 1), 10))
        return model.get_weights()

    for a, b in zip(train(), train(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_the_layers_are_those_of_the_tutorials():
    def shapes(name, size=IMAGES):
        weights = zoo.create_model(name, **size).trainable_weights
        return [tuple(weight.shape) for weight in weights]

    numbers = {"input_shape": (1,), "num_classes": None}
    assert shapes("linear", numbers) == [(1, 1), (1,)]
    assert shapes("linear") == [(784, 10), (10,)]
    dense = [(784, 256), (256,), (256, 128), (128,), (128, 10), (10,)]
    assert shapes("mlp") == dense
    conv = [(3, 3, 1, 32), (32,), (14 * 14 * 32, 1024), (1024,), (1024, 10), (10,)]
    assert shapes("convnet") == conv


@pytest.mark.parametrize(
    ("name", "input_shape", "num_classes", "recipe", "message"),
    [
        (
            "convnt",
            (8, 8, 1),
            2,
            "default",
            "'convnt'. Known: .*resnet. Did .* 'convnet'",
        ),
        ("mlp", (8, 8, 1), 2, "tutorial_kers", "'tutorial_kers'.* 'tutorial_keras'"),
        ("mlp", (0, 8, 1), 2, "default", r"1 or more. Rec.* input_shape=\(0, 8, 1\)"),
        ("linear", (8, 8, 1), 0, "default", "whole numbers, 1 or more. .*classes=0"),
        ("convnet", (1,), None, "default", r"takes images .* \(1,\), no classes"),
        ("linear", (8, 8, 1), 2, "tutorial", "is for regression. Rec.*classification"),
    ],
)
def test_what_cannot_be_built_is_explained(
    name, input_shape, num_classes, recipe, message
):
    with pytest.raises(UserError, match=message):
        zoo.create_model(
            name, input_shape=input_shape, num_classes=num_classes, recipe=recipe
        )
