"""Stock Keras: the same layers, compile and fit on the usual pipeline."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import data
from zoo import startup

FILTERS = (24, 32, 48, 64, 96)  # of allconv
WIDTHS, BLOCKS = (16, 32, 64), 3  # of resnet


def network(model_name: str) -> Any:
    """Returns the layers of a model of the zoo as a model of stock Keras."""
    import keras
    from keras import layers

    if model_name == "mlp":
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Flatten(),
                layers.Dense(256, activation="relu"),
                layers.Dense(128, activation="relu"),
                layers.Dense(10),
            ]
        )
    if model_name == "convnet":
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(32, 3, padding="same", activation="relu"),
                layers.MaxPooling2D(2, padding="same"),
                layers.Flatten(),
                layers.Dense(1024, activation="relu"),
                layers.Dense(10),
            ]
        )

    def block(x: Any, width: int, size: int, stride: int, *, relu: bool = True) -> Any:
        conv = layers.Conv2D(width, size, stride, padding="same", use_bias=False)
        x = layers.BatchNormalization()(conv(x))
        return layers.ReLU()(x) if relu else x

    image = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    if model_name == "allconv":
        for i, width in enumerate(FILTERS):
            x = block(x, width, 3 if i else 5, 2 if i in (1, 3) else 1)
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(10, 1)(x))
    else:
        x = block(x, WIDTHS[0], 3, 1)
        for stage, width in enumerate(WIDTHS):
            for i in range(BLOCKS):
                stride = 2 if stage and not i else 1
                branch = block(block(x, width, 3, stride), width, 3, 1, relu=False)
                if stride == 2:
                    x = block(x, width, 1, stride, relu=False)
                x = layers.ReLU()(branch + x)
        x = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


def prepare(model_name: str, steps: str, batch_size: str):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    startup.start()
    import keras
    import tensorflow as tf

    split, on_mnist = data.examples(model_name), model_name in data.ON_MNIST
    if on_mnist:
        optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-2)
    else:
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model = network(model_name)
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    images = data.scaled(split.x) if on_mnist else split.x
    options = tf.data.Options()
    options.autotune.enabled = False  # an epoch would wait for its thread
    batches = (
        tf.data.Dataset.from_tensor_slices((images, split.y))
        .shuffle(10_000)
        .batch(int(batch_size), drop_remainder=True)
        .prefetch(2)
        .take(int(steps))
        .with_options(options)
    )

    def work() -> float:
        began = time.perf_counter()
        model.fit(batches, shuffle=False, verbose=0)
        return time.perf_counter() - began

    return work
