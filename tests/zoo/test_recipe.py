"""Tests the allowed values of recipes, and flags that override them."""

from __future__ import annotations

import json
import math

import keras
import numpy as np
import pytest

import zoo
from zoo.errors import UserError
from zoo.models.losses import make_loss
from zoo.models.optimizers import Adam, AdamW, make_optimizer, slow_down
from zoo.recipe import FINE_TUNING, OPTIMIZERS, PHOTOGRAPHS, Recipe, parse_augment

SGD = Recipe(optimizer="sgd", momentum=0.9, nesterov=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 0}, "--batch_size must be a whole number, 1 or more"),
        ({"epochs": 0}, "--epochs must be a whole number, 1 or more. Received: 0"),
        ({"learning_rate": 0.0}, "--learning_rate must be above 0 and finite"),
        ({"learning_rate": math.nan}, "--learning_rate .* Received: nan"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "--momentum must be at least 0 and be"),
        ({"momentum": 0.9}, "--momentum belongs to .* Received: optimizer=adam"),
        ({"nesterov": True, "optimizer": "sgd"}, "--nesterov needs"),
        ({"optimizer": "adm"}, "Unknown optimizer 'adm'.*Did you mean 'adam'"),
        ({"epochs": 10**12}, "--epochs must be 1000000000 or less"),
        ({"batch_size": True}, "--batch_size must be a whole number"),
        ({"learning_rate": "a"}, "--learning_rate must be a number. Received: 'a'"),
        ({"augment": {"flp": 1.0}}, "Unknown augmentation 'flp'.*Did you mean 'flip'"),
        ({"augment": {"flip": 1.5}}, "flip .* must be a number, 0 to 1. Received: 1.5"),
        ({"augment": {"scale": math.nan}}, "scale .* must be a number.* Received: nan"),
        ({"augment": {"shear": "a"}}, "shear .* must be a number.* Received: 'a'"),
        (
            {"label_smoothing": 0.1, "loss": "one_hot_sum"},
            "--label_smoothing belongs to the loss cross_entropy. .*one_hot_sum",
        ),
    ],
)
def test_a_value_out_of_range_is_explained(fields, message):
    with pytest.raises(UserError, match=message):
        Recipe(**fields)


def test_a_single_value_is_checked_without_the_others():
    Recipe.check_fields({"momentum": 0.9, "nesterov": True, "batch_size": None})
    for fields in ({"epochs": 0}, {"momentum": 1.0}, {"augment": {"flip": 2}}):
        with pytest.raises(UserError, match="must be"):
            Recipe.check_fields(fields)


def test_augmentation_is_read_from_the_command_line():
    assert parse_augment("none") == {}
    assert parse_augment("shift=1e-1, flip=.5") == {"shift": 0.1, "flip": 0.5}


@pytest.mark.parametrize("text", ["", "flip", "flip=", "flip=1,"])
def test_what_is_no_augmentation_is_explained(text):
    with pytest.raises(UserError, match=r"names with strengths.* Received: "):
        parse_augment(text)


@pytest.mark.parametrize(
    ("recipe", "fields", "min_steps", "momentum"),
    [
        (Recipe(min_steps=300), {"epochs": 2}, 0, 0.0),
        (Recipe(min_steps=300), {"batch_size": 2}, 300, 0.0),
        (SGD, {"learning_rate": 0.5}, 0, 0.9),
        (SGD, {"optimizer": "adam"}, 0, 0.0),
        (SGD, {"optimizer": "rmsprop", "momentum": 0.5}, 0, 0.5),
    ],
)
def test_what_a_length_or_an_optimizer_brings_along(
    recipe, fields, min_steps, momentum
):
    changed = recipe.override(**fields)
    assert (changed.min_steps, changed.momentum) == (min_steps, momentum)


def test_without_weights_the_recipe_of_photographs_replaces_fine_tuning():
    alone = FINE_TUNING.from_scratch()
    assert alone == PHOTOGRAPHS.override(epochs=70, min_steps=1200)
    assert alone.from_scratch() == alone
    # The layers stay those of the recipe.
    small = FINE_TUNING.override(model={"width": 0.35})
    assert small.from_scratch().model == {"width": 0.35}
    assert "head_first" in small.to_json() and "head_first" not in alone.to_json()


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_recipe_survives_json(name):
    for recipe in zoo.list_recipes(name):
        fields = zoo.get_recipe(name, recipe).to_json()
        assert Recipe(**json.loads(json.dumps(fields))).to_json() == fields


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_the_one_of_keras_or_its_fused_kin(name):
    optimizer = make_optimizer(Recipe(optimizer=name, learning_rate=0.25), steps=None)
    fused = {"adam": Adam, "adamw": AdamW}
    assert type(optimizer) is fused.get(name, type(keras.optimizers.get(name)))
    assert float(optimizer.learning_rate) == 0.25
    if name == "sgd":
        config = make_optimizer(SGD, steps=None).get_config()
        assert (config["momentum"], config["nesterov"]) == (0.9, True)


def test_the_cosine_schedule_climbs_and_ends_at_zero():
    recipe = Recipe(learning_rate=0.4, schedule="cosine", warmup=0.1)
    rate = make_optimizer(recipe, steps=100)._learning_rate
    rates = [float(rate(step)) for step in (0, 5, 10, 55, 100)]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.2, 0.0], abs=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_and_normalization_do_not_decay_where_only_kernels_do(optimizer):
    recipe = Recipe(
        optimizer=optimizer,
        learning_rate=0.1,
        weight_decay=0.5,
        decay_kernels_only=True,
    )
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(2, bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
        ]
    )
    optimizer = make_optimizer(recipe, None)
    optimizer.build(model.trainable_variables)
    before = model.get_weights()[:4]
    zeros = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.apply(zeros, model.trainable_variables)
    kernel, *rest = model.get_weights()[:4]
    np.testing.assert_allclose(kernel, 0.95 * before[0], rtol=1e-6)
    for now, then in zip(rest, before[1:], strict=True):
        np.testing.assert_array_equal(now, then)


def test_smoothed_labels_are_those_of_keras():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    labels = np.array([0, 3, 1, 2, 2])
    smoothed = make_loss("auto", 4, label_smoothing=0.2)
    expected = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2
    )
    one_hot = np.eye(4, dtype="float32")[labels]
    assert float(smoothed(labels, logits)) == pytest.approx(
        float(expected(one_hot, logits)), rel=1e-6
    )


def test_pretrained_weights_learn_at_their_own_rate():
    for name in OPTIMIZERS:
        optimizer = make_optimizer(Recipe(optimizer=name, learning_rate=0.1), None)
        slow, *_ = variables = [keras.Variable([0.0, 0.0]) for _ in range(3)]
        optimizer.build(variables)
        slow_down(optimizer, [slow], 0.1)
        optimizer.apply([keras.ops.ones(2) for _ in variables], variables)
        moves = [keras.ops.convert_to_numpy(v) for v in variables]
        np.testing.assert_allclose(moves[0], 0.1 * moves[1], rtol=1e-4)
        np.testing.assert_array_equal(moves[1], moves[2])
        assert moves[1].max() < 0, name


def test_a_recipe_with_weights_says_how_to_train_without_them():
    alone = FINE_TUNING.from_scratch()
    expected = PHOTOGRAPHS.override(epochs=70, min_steps=1200)
    assert alone == expected
    assert expected.from_scratch() == expected
    changed = FINE_TUNING.override(optimizer="adamw", batch_size=16, model={"width": 2})
    alone = changed.from_scratch()
    assert (alone.optimizer, alone.momentum, alone.batch_size) == ("adamw", 0.0, 16)
    assert (alone.model, alone.epochs) == ({"width": 2}, 70)
    assert "scratch" not in FINE_TUNING.to_json()
