"""Stock Keras: the same layers, compile and fit on the usual pipeline."""

from __future__ import annotations

import time

from benchmarks import data
from zoo import startup


def prepare(model_name: str, steps: str, batch_size: str):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    startup.start()
    import keras
    import tensorflow as tf
    from keras import layers

    from zoo.data.decode import untuned

    bodies = {
        "mlp": [
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dense(128, activation="relu"),
        ],
        "convnet": [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2, padding="same"),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
        ],
    }
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), *bodies[model_name], layers.Dense(10)]
    )
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    train = data.mnist().train
    batches = untuned(
        tf.data.Dataset.from_tensor_slices((data.scaled(train.x), train.y))
        .shuffle(10_000)
        .batch(int(batch_size), drop_remainder=True)
        .prefetch(2)
        .take(int(steps))
    )

    def work() -> float:
        began = time.perf_counter()
        model.fit(batches, shuffle=False, verbose=0)
        return time.perf_counter() - began

    return work
