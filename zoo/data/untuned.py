"""Datasets of tf.data without autotuning."""

from __future__ import annotations

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a dataset that keeps its parallel calls and buffers as they are.

    The thread that tunes them sleeps for 10 ms, then twice as long each time, up to a
    minute. At the end of an iteration, TensorFlow waits for it but often fails to wake
    it: an epoch takes up to twice as long.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
