"""Tests that every registered architecture passes.

They name none, so that a new file in zoo/models is tested at once. Only ``LARGER``
names some, to save time.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from tests.conftest import deep_are_slow
from zoo import registry
from zoo.models.layers import BatchNormalization
from zoo.training import trainer

#: Deep networks with the layers of another recipe of theirs, but wider or more of them.
LARGER = {
    ("efficientnet_lite", "lite1"),
    ("efficientnet_lite", "lite2"),
    ("mobilenet_v2", "default"),
    ("mobilenet_v2", "large"),
}
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
    if recipe.task == "regression":
        return (1,), None
    architecture = registry.get_architecture(model)
    side = max(12, architecture.min_side)
    return (side, side, architecture.example_shape[-1]), 10


def create(name, recipe="default", **options):
    """Returns a model for small examples that runs eagerly."""
    input_shape, num_classes = size_for(name, recipe)
    return zoo.create_model(
        name,
        input_shape=input_shape,
        num_classes=num_classes,
        recipe=recipe,
        run_eagerly=True,
        **options,
    )


each_model_in_short = pytest.mark.parametrize("name", deep_are_slow(zoo.list_models()))
each_model = pytest.mark.parametrize("name", zoo.list_models())


def larger_are_slow(recipes):
    """Returns the parameters of a test over (model, recipe)."""
    return [
        pytest.param(*each, marks=[pytest.mark.slow] * (each in LARGER))
        for each in recipes
    ]


each_recipe = pytest.mark.parametrize(("name", "recipe"), larger_are_slow(RECIPES))


@each_model
def test_logits_have_the_shape_of_the_classes(name):
    architecture = registry.get_architecture(name)
    least = architecture.min_side
    tall = (max(7, least), max(9, least + 2), 3)
    for input_shape, num_classes in ((architecture.example_shape, 10), (tall, 4)):
        model = zoo.create_model(name, input_shape=input_shape, num_classes=num_classes)
        x, _ = examples(input_shape, num_classes, size=3)
        assert model(x).shape == (3, num_classes)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@each_model
def test_logits_are_float32_where_the_rest_computes_in_16_bits(name, precision):
    with trainer.dtype_policy(precision):
        model = create(name)
    x, _ = examples(*size_for(name), size=3)
    assert model.compute_dtype == precision.removeprefix("mixed_")
    assert model(x).dtype == tf.float32
    assert {weight.dtype for weight in model.weights} == {"float32"}


@each_model
def test_uint8_and_float_pixels_are_the_same_to_the_model(name):
    model, (x, _) = create(name), examples(*size_for(name))
    np.testing.assert_array_equal(model(x), model(x.astype("float32")))


@each_recipe
def test_every_variable_learns_and_is_saved_in_a_keras_file(name, recipe, tmp_path):
    model, (x, y) = create(name, recipe), examples(*size_for(name, recipe))
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


@each_model_in_short
def test_the_loss_falls(name, digits):
    (side, _, channels), _ = size_for(name)
    images = tf.image.resize(digits.train.x[:512], (side, side), antialias=True)
    x, y = np.repeat(images, channels, axis=-1), digits.train.y[:512]
    recipe = zoo.get_recipe(name).from_scratch()
    if registry.get_architecture(name).weights:
        # Without weights, networks of this depth need the warmup of a whole training
        # to learn at the rate of their recipe.
        recipe = recipe.override(learning_rate=0.2 * recipe.learning_rate)
    size = {"input_shape": x.shape[1:], "num_classes": 10}
    model = zoo.create_model(name, recipe=recipe, **size)
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["accuracy"][-1] > 0.6


@each_model
def test_two_runs_of_one_seed_agree(name):
    def train():
        keras.utils.set_random_seed(5)
        model = create(name)
        model.train_on_batch(*examples(*size_for(name)))
        return model.get_weights()

    for a, b in zip(train(), train(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@each_model
def test_weights_have_the_same_names_in_every_model(name):
    first, second = ([w.path for w in create(name).weights] for _ in range(2))
    assert first == second
    assert len({*first}) == len(first)


@each_model
def test_the_stages_are_in_the_order_of_the_computation(name):
    model = create(name)
    image = keras.Input(size_for(name)[0])
    graph = keras.Model(image, model.call(image))  # sorts its layers
    order = [layer.name for layer in graph.layers if layer.weights]
    assert order == list(model.stages)


@each_model_in_short
def test_a_frozen_part_is_exactly_what_does_not_change(name):
    x, y = examples(*size_for(name))
    whole = create(name)
    for layer in whole._flatten_layers():
        if isinstance(layer, BatchNormalization):
            layer.momentum = 0.0
    # A frozen part normalizes with statistics that fit, but that are not those of x.
    whole(x[: len(x) // 2], training=True)
    stages, before = whole.stages, whole.get_weights()
    # Of many stages, every fourth, back from the head.
    step = 1 if len(stages) < 8 else 4
    for first in range(len(stages) - 1, 0, -step):
        stage = stages[first]
        model = create(name, freeze=stage)
        model.set_weights(before)
        model.train_on_batch(x, y)
        for weight, old in zip(model.weights, before, strict=True):
            trained = weight.path.split("/")[1] in stages[first:]
            assert (weight.numpy() != old).any() == trained, (stage, weight.path)
