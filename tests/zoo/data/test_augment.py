"""All augmentations: eagerly and inside tf.data, what they draw, what they leave."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from zoo.data import augment
from zoo.data.draws import Draws
from zoo.recipe import AUGMENTATIONS

SEED = (3, 7)
RNG = np.random.default_rng(0)
IMAGES = {c: RNG.integers(0, 256, (6, 12, 16, c)).astype("uint8") for c in (1, 3)}
STRENGTHS = {
    "shift": 0.1,
    "rotate": 15.0,
    "scale": 0.2,
    "shear": 0.2,
    "crop": 0.3,
    "elastic": 0.05,
    "flip": 0.5,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "erasing": 0.6,
}


def augmented(images, strengths, seed=SEED, **rows):
    return augment.augment(images, strengths, Draws(seed, len(images), **rows)).numpy()


@pytest.mark.parametrize("channels", IMAGES)
@pytest.mark.parametrize("name", [*AUGMENTATIONS, "all"])
def test_inside_tf_data_it_is_what_it_is_eagerly(name, channels):
    strengths = STRENGTHS if name == "all" else {name: STRENGTHS[name]}
    images = IMAGES[channels]

    def change(step):
        seed = tf.stack([tf.constant(3, tf.int64), step])
        return augment.augment(images, strengths, Draws(seed, tf.shape(images)[0]))

    eager = change(tf.constant(7, tf.int64))
    inside = list(tf.data.Dataset.range(8).map(change))[7]
    np.testing.assert_array_equal(eager, inside)
    assert eager.shape == images.shape
    assert eager.dtype == tf.float32
    assert np.min(eager) >= 0
    assert np.max(eager) <= 255
    gray_has_none = name == "saturation" and channels == 1
    assert np.allclose(eager, images) == gray_has_none


@pytest.mark.parametrize("name", [*AUGMENTATIONS, "all"])
def test_a_part_of_a_batch_gets_what_it_gets_in_the_whole(name):
    strengths = STRENGTHS if name == "all" else {name: STRENGTHS[name]}
    whole = augmented(IMAGES[3], strengths)
    for first, last in ((0, 2), (2, 3), (3, 6)):
        part = augmented(IMAGES[3][first:last], strengths, first=first, batch=6)
        np.testing.assert_array_equal(part, whole[first:last])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_without_strength_nothing_changes(name):
    same = augmented(IMAGES[3], {name: 0.0})
    np.testing.assert_array_equal(same, IMAGES[3])


def test_every_image_of_a_batch_and_every_seed_has_other_draws():
    batch = np.repeat(IMAGES[3][:1], 4, axis=0)
    for name, strength in STRENGTHS.items():
        changed, step, seed, again = (
            augmented(batch, {name: strength}, seed=drawn)
            for drawn in (SEED, (3, 8), (4, 7), SEED)
        )
        assert len({image.tobytes() for image in changed}) == (
            2 if name == "flip" else 4
        )
        assert not np.allclose(changed, step), name
        assert not np.allclose(changed, seed), name
        np.testing.assert_array_equal(changed, again)


def test_they_draw_independently():
    # One stream for two of them would couple what they do, as a flip to dark images.
    images = np.full((4000, 3, 3, 1), 100.0, "float32") + [[[-20.0]], [[0.0]], [[20.0]]]
    images = images.transpose(0, 2, 1, 3)  # darker on the left
    strengths = {"flip": 0.5, "brightness": 0.2, "contrast": 0.5}
    changed = augmented(images, strengths)[..., 0]
    contrasts = changed[:, 0, 2] - changed[:, 0, 0]
    draws = [contrasts > 0, changed[:, 1, 1], np.abs(contrasts)]
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 0.05


def test_what_is_applied_does_not_depend_on_the_order_in_the_recipe():
    a = augmented(IMAGES[3], STRENGTHS)
    b = augmented(IMAGES[3], dict(reversed(STRENGTHS.items())))
    np.testing.assert_array_equal(a, b)


def test_no_two_of_them_share_a_stream(monkeypatch):
    streams, fold_in = [], tf.random.fold_in

    def recorded(seed, number):
        streams.append(tuple(fold_in(seed, number).numpy().tolist()))
        return fold_in(seed, number)

    monkeypatch.setattr(tf.random, "fold_in", recorded)
    augmented(IMAGES[3], STRENGTHS)
    assert len(streams) >= 6
    assert len({SEED, *streams}) == 1 + len(streams)
