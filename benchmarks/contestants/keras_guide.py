"""Keras's guide to transfer learning, in stock Keras, from the zoo's weights.

    python -m benchmarks.contestants.keras_guide prepare BASE.keras SIDE
    python -m benchmarks.contestants.keras_guide train BASE.keras DATA EPOCHS SEED BEGAN

The first command writes EfficientNet-Lite0 without its head as a model of stock layers,
as Keras's applications are. The second one trains it on DATA/train: first a new head on
the frozen base, then all layers with a low learning rate. It prints the accuracy on
DATA/test after both parts as JSON, and the seconds since BEGAN, the time.time() at
which the process was started.
Source: https://keras.io/guides/transfer_learning/
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time
from typing import Any

BATCH = 64
#: Blocks, kernel, stride, expansion and filters of the stages.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def network(side: int) -> Any:
    """Returns EfficientNet-Lite0 from scaled images to a map of 1,280 features."""
    import keras
    from keras import layers

    def normalized(x: Any, relu6: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3)(x)
        return layers.ReLU(6.0)(x) if relu6 else x

    def convolution(x: Any, filters: int, size: int, strides: int = 1) -> Any:
        return layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)

    inputs = keras.Input((side, side, 3))
    x = normalized(convolution(inputs, 32, 3, 2))
    for blocks, kernel, stride, expansion, filters in STAGES:
        for block in range(blocks):
            before, strides = x, 1 if block else stride
            if expansion > 1:
                x = normalized(convolution(x, expansion * x.shape[-1], 1))
            x = layers.DepthwiseConv2D(kernel, strides, padding="same", use_bias=False)(
                x
            )
            x = normalized(convolution(normalized(x), filters, 1), relu6=False)
            if block:
                x = layers.add([before, x])
    return keras.Model(inputs, normalized(convolution(x, 1280, 1)))


def classifier(base: Any, num_classes: int) -> Any:
    """Returns the guide's model: raw pixels -> scaled -> base -> mean -> logits."""
    import keras
    from keras import layers

    inputs = keras.Input(base.input_shape[1:])
    x = layers.Rescaling(1 / 128, -127 / 128)(inputs)
    # Batch normalization stays in inference mode, even while the base is trained.
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return keras.Model(inputs, layers.Dense(num_classes)(layers.Dropout(0.2)(x)))


def prepare(path: pathlib.Path, side: int) -> None:
    """Writes the base, after a check that its features are those of the zoo."""
    import keras
    import numpy as np

    import zoo

    ours = zoo.create_model(
        "efficientnet_lite",
        weights="imagenet",
        input_shape=(side, side, 3),
        features=True,
    )
    base = network(side)
    base.set_weights(ours.get_weights())
    model = classifier(base, 1)
    features = keras.Model(model.input, model.layers[-3].output)
    images = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), np.uint8)
    wanted, found = ours(images).numpy(), features(images).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    beside = path.with_name(f"new-{path.name}")  # Keras wants the same ending
    base.save(beside)
    beside.replace(path)


def train(
    path: pathlib.Path, data: pathlib.Path, epochs: int, seed: int, began: float
) -> dict[str, dict[str, float]]:
    """Returns accuracy and seconds after each part of the training."""
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(seed)
    base = keras.models.load_model(path)
    train_ds, test_ds = (
        keras.utils.image_dataset_from_directory(
            data / part,
            image_size=base.input_shape[1:3],
            batch_size=BATCH,
            shuffle=part == "train",
            seed=seed,
            verbose=False,
        )
        for part in ("train", "test")
    )
    augmentations = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]

    def augmented(x: Any, y: Any) -> tuple[Any, Any]:
        for layer in augmentations:
            x = layer(x)
        return x, y

    num_classes = len(train_ds.class_names)
    # Cached images are batches; those of an epoch come in another order.
    train_ds = train_ds.cache().shuffle(train_ds.cardinality()).map(augmented)
    train_ds = train_ds.prefetch(tf.data.AUTOTUNE)
    test_ds = test_ds.cache().prefetch(tf.data.AUTOTUNE)
    base.trainable = False
    model = classifier(base, num_classes)
    found = {}
    for part, rate in (("frozen", 1e-3), ("tuned", 1e-5)):
        base.trainable = part == "tuned"
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(train_ds, epochs=epochs, validation_data=test_ds, verbose=0)
        accuracy = model.evaluate(test_ds, verbose=0, return_dict=True)["accuracy"]
        found[part] = {"accuracy": accuracy, "seconds": time.time() - began}
    return found


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    command, path, *rest = sys.argv[1:]
    if command == "prepare":
        prepare(pathlib.Path(path), int(rest[0]))
        return
    data, epochs, seed, began = rest
    found = train(
        pathlib.Path(path), pathlib.Path(data), int(epochs), int(seed), float(began)
    )
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
