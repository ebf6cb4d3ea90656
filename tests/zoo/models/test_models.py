"""Every architecture of the zoo, as soon as it is registered."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import catalog
from zoo.errors import UserError
from zoo.training import trainer

SHAPES = [((28, 28, 1), 10), ((7, 9, 3), 4), ((32, 32, 3), 100)]
RECIPES = [(m, r) for m in zoo.list_models() for r in zoo.list_recipes(m)]


def examples(input_shape, num_classes, size=32):
    """Random raw pixels or numbers, with labels or targets."""
    rng = np.random.default_rng(0)
    if num_classes is None:
        x = rng.normal(size=(size, *input_shape)).astype("float32")
        return x, 3 * x + 2
    x = rng.integers(0, 256, (size, *input_shape)).astype("uint8")
    return x, rng.integers(0, num_classes, size).astype("int32")


def size_for(model, recipe="default"):
    """An input shape and classes that the recipe takes, as small as is sensible."""
    if zoo.get_recipe(model, recipe).task == "regression":
        return (1,), None
    return (12, 12, 1), 10


@pytest.mark.parametrize(("input_shape", "num_classes"), SHAPES)
@pytest.mark.parametrize("name", zoo.list_models())
def test_logits_have_the_shape_of_the_classes(name, input_shape, num_classes):
    model = zoo.create_model(name, input_shape=input_shape, num_classes=num_classes)
    x, _ = examples(input_shape, num_classes, size=3)
    assert model(x).shape == (3, num_classes)
    assert model(x).dtype == tf.float32


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", zoo.list_models())
def test_logits_are_float32_where_the_rest_computes_in_16_bits(name, precision):
    with trainer.dtype_policy(precision):
        model = zoo.create_model(name, input_shape=(12, 12, 1), num_classes=10)
    x, _ = examples((12, 12, 1), 10, size=3)
    assert model.compute_dtype == precision.removeprefix("mixed_")
    assert model(x).dtype == tf.float32
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.parametrize("name", zoo.list_models())
def test_its_description_counts_every_parameter(name):
    text = catalog.description(name)
    counts = re.findall(r"^\w+ +\(None, .*\) +([\d,]+) *$", text, re.MULTILINE)
    model = zoo.create_model(name, **catalog.IMAGES)
    assert sum(int(n.replace(",", "")) for n in counts) == model.count_params()
    assert len(counts) == len(model.layers)


@pytest.mark.parametrize("name", zoo.list_models())
def test_uint8_and_float_pixels_are_the_same_to_the_model(name):
    model = zoo.create_model(name, input_shape=(12, 12, 1), num_classes=10)
    x, _ = examples((12, 12, 1), 10)
    np.testing.assert_array_equal(model(x), model(x.astype("float32")))


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_keras_file_round_trip(name, recipe, tmp_path):
    input_shape, num_classes = size_for(name, recipe)
    model = zoo.create_model(
        name, input_shape=input_shape, num_classes=num_classes, recipe=recipe
    )
    x, y = examples(input_shape, num_classes)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(
        model.evaluate(x, y, verbose=0, return_dict=True)
    )


def test_another_process_loads_the_file_of_every_recipe(command, tmp_path):
    for name, recipe in RECIPES:
        input_shape, num_classes = size_for(name, recipe)
        model = zoo.create_model(
            name, input_shape=input_shape, num_classes=num_classes, recipe=recipe
        )
        model.save(tmp_path / f"{name}-{recipe}.keras")
    code = (
        "import pathlib, zoo, keras\n"
        "for path in sorted(pathlib.Path().glob('*.keras')):\n"
        "    print(path.stem, keras.models.load_model(path).compiled)"
    )
    done = command("-c", code)
    expected = sorted(f"{name}-{recipe} True" for name, recipe in RECIPES)
    assert sorted(done.stdout.splitlines()) == expected, done.stderr


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_every_variable_gets_a_gradient_and_moves(name, recipe):
    input_shape, num_classes = size_for(name, recipe)
    model = zoo.create_model(
        name, input_shape=input_shape, num_classes=num_classes, recipe=recipe
    )
    x, y = examples(input_shape, num_classes)
    if name == "linear" and num_classes:
        x = x + 1  # a pixel that is 0 in all images gives its weight no gradient
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


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_loss_falls(name, digits):
    model = zoo.create_model(name, input_shape=(28, 28, 1), num_classes=10)
    history = model.fit(
        digits.train.x[:512], digits.train.y[:512], epochs=5, verbose=0
    ).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["accuracy"][-1] > 0.6


@pytest.mark.parametrize("name", zoo.list_models())
def test_two_runs_of_one_seed_agree(name):
    def train():
        keras.utils.set_random_seed(5)
        model = zoo.create_model(name, input_shape=(12, 12, 1), num_classes=10)
        model.fit(*examples((12, 12, 1), 10), epochs=3, verbose=0)
        return model.get_weights()

    for a, b in zip(train(), train(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_the_layers_are_those_of_the_tutorials():
    def weights(name, **size):
        return [
            tuple(w.shape) for w in zoo.create_model(name, **size).trainable_weights
        ]

    images = {"input_shape": (28, 28, 1), "num_classes": 10}
    assert weights("linear", input_shape=(1,), num_classes=None) == [(1, 1), (1,)]
    assert weights("linear", **images) == [(784, 10), (10,)]
    dense = [(784, 256), (256,), (256, 128), (128,), (128, 10), (10,)]
    assert weights("mlp", **images) == dense
    conv = [(3, 3, 1, 32), (32,), (14 * 14 * 32, 1024), (1024,), (1024, 10), (10,)]
    assert weights("convnet", **images) == conv


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: zoo.create_model("convnt", input_shape=(8, 8, 1), num_classes=2),
            r"Unknown model 'convnt'. Known: .*linear, mlp. Did you mean 'convnet'\?",
        ),
        (
            lambda: zoo.get_recipe("mlp", "tutorial_kers"),
            "Unknown recipe of mlp 'tutorial_kers'.*Did you mean 'tutorial_keras'",
        ),
        (
            lambda: zoo.create_model("mlp", input_shape=(0, 8, 1), num_classes=2),
            r"must be whole numbers, 1 or more. Received: input_shape=\(0, 8, 1\)",
        ),
        (
            lambda: zoo.create_model("linear", input_shape=(8, 8, 1), num_classes=0),
            "must be whole numbers, 1 or more. .*num_classes=0",
        ),
        (
            lambda: zoo.create_model("convnet", input_shape=(1,), num_classes=None),
            r"'convnet' takes images .*Received: examples of shape \(1,\), no classes",
        ),
        (
            lambda: zoo.create_model(
                "linear", input_shape=(8, 8, 1), num_classes=2, recipe="tutorial"
            ),
            "recipe of linear is for regression. Received: .*classification",
        ),
    ],
)
def test_what_cannot_be_built_is_explained(call, message):
    with pytest.raises(UserError, match=message):
        call()
