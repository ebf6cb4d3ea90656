"""The first tutorial's eager loop: tensors, GradientTape and assign_sub."""

from __future__ import annotations

import itertools
import time

from benchmarks import data
from zoo import startup


def prepare(steps: str, batch_size: str):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    startup.start()
    import tensorflow as tf

    from zoo.data.decode import untuned

    train = data.mnist().train
    x = tf.constant(data.scaled(train.x[..., 0]))
    batches = untuned(
        tf.data.Dataset.from_tensor_slices((x, train.y)).batch(int(batch_size))
    )
    sizes = (784, 256, 128, 10)
    weights = [
        tf.Variable(tf.random.truncated_normal(pair, stddev=0.1))
        for pair in itertools.pairwise(sizes)
    ]
    biases = [tf.Variable(tf.zeros([size])) for size in sizes[1:]]

    def work() -> float:
        began = time.perf_counter()
        for x, y in batches.take(int(steps)):
            x = tf.reshape(x, [-1, 784])
            with tf.GradientTape() as tape:
                h1 = tf.nn.relu(x @ weights[0] + biases[0])
                h2 = tf.nn.relu(h1 @ weights[1] + biases[1])
                out = h2 @ weights[2] + biases[2]
                loss = tf.reduce_mean(tf.square(tf.one_hot(y, depth=10) - out))
            variables = [*weights, *biases]
            gradients = tape.gradient(loss, variables)
            for variable, gradient in zip(variables, gradients, strict=True):
                variable.assign_sub(1e-3 * gradient)
        float(loss)
        return time.perf_counter() - began

    return work
