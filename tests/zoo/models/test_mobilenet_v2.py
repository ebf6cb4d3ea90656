"""Compares MobileNetV2 with keras.applications, from which its weights come."""

from __future__ import annotations

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

import zoo
from zoo.errors import RunError
from zoo.models.mobilenet_v2 import MobileNetV2, load_imagenet

WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
IN_SHORT = ((0.35, 33), (0.5, 64), (1.4, 64))


def theirs(width, side, classes=7, seed=0):
    """Returns Keras's network for logits, with random weights of a usual size."""
    model = keras.applications.MobileNetV2(
        (side, side, 3),
        width,
        weights=None,
        classes=classes,
        classifier_activation=None,
    )
    rng = np.random.default_rng(seed)
    values = [
        rng.normal(size=weight.shape) * (2 / np.prod(weight.shape[:-1])) ** 0.5
        if len(weight.shape) > 1
        else np.abs(rng.normal(1, 0.3, weight.shape))
        for weight in model.weights
    ]
    model.set_weights(values)
    return model


@pytest.mark.parametrize(
    ("width", "side"),
    [
        pytest.param(w, side, marks=[pytest.mark.slow] * ((w, side) not in IN_SHORT))
        for w in WIDTHS
        for side in (33, 64)
    ],
)
def test_logits_equal_those_of_keras_applications(width, side):
    keras_model, model = theirs(width, side), MobileNetV2(7, width=width)
    model.build((None, side, side, 3))
    model.take_over(keras_model.get_weights())
    image = np.random.default_rng(1).uniform(0, 255, (4, side, side, 3))
    scaled = keras.applications.mobilenet_v2.preprocess_input(image.copy())
    for training in (False, True):
        expected = keras_model(scaled, training=training)
        np.testing.assert_allclose(
            model(image, training=training), expected, rtol=1e-5, atol=1e-5
        )


def test_features_equal_those_of_keras_applications():
    keras_model, model = theirs(0.5, 64), MobileNetV2(0, width=0.5)
    model.build((None, 64, 64, 3))
    model.take_over(keras_model.get_weights()[:-2])
    image = np.random.default_rng(1).uniform(0, 255, (4, 64, 64, 3))
    scaled = keras.applications.mobilenet_v2.preprocess_input(image.copy())
    until_head = keras.Model(keras_model.inputs, keras_model.layers[-1].input)
    np.testing.assert_allclose(model(image), until_head(scaled), rtol=1e-5, atol=1e-5)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Replaces ~/.keras by an empty directory."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def fill(cache, width, side):
    """Writes weights where Keras stores what it downloads; returns their model."""
    model = theirs(width, side, classes=1000)
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{side}.h5"
    with h5py.File(cache / name, "w") as file:
        save_weights_to_hdf5_group(file, model)
    return model


def test_the_weights_in_the_cache_of_keras_become_a_model_and_a_start(cache):
    keras_model = fill(cache, 0.35, 96)
    image = np.random.default_rng(1).uniform(0, 255, (2, 96, 96, 3))
    scaled = keras.applications.mobilenet_v2.preprocess_input(image.copy())
    model = zoo.create_model(
        "mobilenet_v2", weights="imagenet", recipe="small", input_shape=(96, 96, 3)
    )
    assert (model.num_classes, model.width) == (1000, 0.35)
    np.testing.assert_allclose(model(image), keras_model(scaled), atol=1e-5)
    opened = zoo.open("mobilenet_v2/imagenet/small")
    assert opened.input_shape == (96, 96, 3)
    assert len({*opened.class_names}) == 1000
    expected = keras.ops.softmax(keras_model(scaled))
    np.testing.assert_allclose(opened(image.astype("float32")), expected, atol=1e-5)

    tuned = zoo.create_model(
        "mobilenet_v2",
        weights="imagenet/small",
        input_shape=(64, 64, 3),
        num_classes=3,
    )
    given = {w.path.partition("/")[2]: w.numpy() for w in model.weights}
    for weight in tuned.weights:
        path = weight.path.partition("/")[2]
        same = np.array_equal(weight.numpy(), given[path])
        assert same == (not path.startswith("head/")), path


@pytest.mark.parametrize(("side", "nearest"), [(32, 96), (144, 160), (500, 224)])
def test_the_weights_of_the_nearest_size_are_taken(cache, side, nearest):
    fill(cache, 0.35, nearest)
    assert load_imagenet(side, width=0.35).example_shape == (nearest, nearest, 3)


def test_weights_that_cannot_be_had_are_one_line(cache, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("URL fetch failure on https://...: no route to host")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", fail)
    with pytest.raises(RunError, match="no route to host.*--weights=none") as error:
        load_imagenet(96, width=0.35)
    assert "\n" not in str(error.value)
