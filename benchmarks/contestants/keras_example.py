"""The MNIST example of keras.io, stopped at 99.0%.

    python -m benchmarks.contestants.keras_example

It has two convolutions, dropout, Adam, batches of 128, a tenth of the data held out,
and at most 15 epochs. It ends after the first epoch with 99.0% on the test split. The
time of these evaluations is printed and not counted, because the example evaluates only
once.
Source: https://keras.io/examples/vision/mnist_convnet/
"""

from __future__ import annotations

import time

from benchmarks import data
from zoo import startup

GOAL = 0.99


def main() -> None:
    startup.start()
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    contents = data.mnist()
    x, y = data.scaled(contents.train.x), contents.train.y
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"]
    )
    test_x, test_y = data.scaled(contents.test.x), contents.test.y
    asking = 0.0

    def ask(epoch: int, logs: dict) -> None:
        nonlocal asking
        began = time.perf_counter()
        answers = model.predict(test_x, batch_size=1000, verbose=0).argmax(axis=1)
        accuracy = float((answers == test_y).mean())
        print(f"epoch {epoch + 1}: {accuracy:.4f}", flush=True)
        model.stop_training = accuracy >= GOAL
        asking += time.perf_counter() - began

    model.fit(
        x,
        keras.utils.to_categorical(y, 10),
        batch_size=128,
        epochs=15,
        validation_split=0.1,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=ask)],
    )
    print(f"asking: {asking:.3f}")


if __name__ == "__main__":
    main()
