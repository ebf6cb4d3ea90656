"""The largest rate at which TensorFlow multiplies matrices here: the roof."""

from __future__ import annotations

import time

from zoo import runtime

SIZE = 2048
TIMES = 8


def prepare():
    """Returns a function that multiplies and answers with GFLOP/s."""
    runtime.start()
    import tensorflow as tf

    a = tf.random.normal((SIZE, SIZE))

    @tf.function
    def multiply():
        product = a
        for _ in range(TIMES):
            product = tf.matmul(product, a) * 1e-2
        return tf.reduce_sum(product)

    def work() -> float:
        began = time.perf_counter()
        float(multiply())
        return 2e-9 * TIMES * SIZE**3 / (time.perf_counter() - began)

    return work
