"""What goes into an exported model and what comes out of it."""

from __future__ import annotations

import tensorflow as tf

from zoo.models.base import TapeModel

BYTES_SIGNATURE = "serve_bytes"


def tensor_names(classifier: bool) -> tuple[str, str]:
    """Returns the names of a TFLite file's input and output."""
    return ("image", "probabilities") if classifier else ("x", "y")


def classify(model: TapeModel, image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the outputs of a classifier's SavedModel signatures."""
    logits = tf.cast(model(image, training=False), tf.float32)
    return {
        "logits": logits,
        "probabilities": tf.nn.softmax(logits),
        "class_id": tf.argmax(logits, axis=-1),
    }


def answer(model: TapeModel, x: tf.Tensor) -> tf.Tensor:
    """Returns what a TFLite file gives: probabilities, or y."""
    y = tf.cast(model(x, training=False), tf.float32)
    return y if model.num_classes is None else tf.nn.softmax(y)
