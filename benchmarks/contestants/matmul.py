"""The rate at which TensorFlow multiplies two matrices on this machine."""

from __future__ import annotations

import time

from zoo import startup

# Smallest number of multiplications and additions in one measurement.
_WORK = 1e11


def prepare(rows: str, inner: str, columns: str):
    """Returns a function that multiplies matrices and returns the GFLOP/s.

    It repeatedly multiplies a matrix (rows, inner) by a layer's weights (inner,
    columns) and the product by their transpose, as the gradient of the layer does.
    """
    startup.start()
    import tensorflow as tf

    shape = (int(rows), int(inner), int(columns))
    x = tf.random.normal(shape[:2])
    # Orthogonal, so that the products neither grow nor vanish.
    weights, _ = tf.linalg.qr(tf.random.normal(shape[1:]))
    flops = 4 * shape[0] * shape[1] * shape[2]
    times = max(1, round(_WORK / flops))

    @tf.function
    def multiply():
        product = x
        for _ in tf.range(times):
            product = tf.matmul(product, weights)
            product = tf.matmul(product, weights, transpose_b=True)
        return product

    def work() -> float:
        began = time.perf_counter()
        multiply()[0, 0].numpy()
        return 1e-9 * times * flops / (time.perf_counter() - began)

    return work
