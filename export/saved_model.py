"""SavedModel in TF Serving's layout, a directory of numbered versions.

It is written by Keras's ExportArchive, which tracks the weights that its endpoints use.
If tf.saved_model.save writes a Keras 3 model, the TFLite converter finds no weights in
it. ExportArchive does not track the model itself here, because Keras 3.15 would then
write every weight twice.
"""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import tensorflow as tf

from export.formats import FORMATS
from zoo import startup
from zoo.data import decode
from zoo.runs.artifact import SIGNATURE
from zoo.runs.run import Run


def export(run: Run, directory: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Writes the directory, with signatures for pixels and for encoded images."""
    model, shape = run.model, tuple(run.config["data"]["input_shape"])

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.cast(model(image, training=False), tf.float32)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_id": tf.argmax(logits, axis=-1),
        }

    def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        height, width, channels = shape
        image = tf.map_fn(
            lambda content: decode.decode(content, height, width, channels, run.resize),
            image_bytes,
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )
        return serve(image)

    def predict(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.cast(model(x, training=False), tf.float32)}

    archive = keras.export.ExportArchive()
    if model.num_classes is None:
        x = tf.TensorSpec((None, *shape), tf.float32, "x")
        archive.add_endpoint(SIGNATURE, predict, [x])
    else:
        images = tf.TensorSpec((None, *shape), tf.uint8, "image")
        encoded = tf.TensorSpec((None,), tf.string, "image_bytes")
        archive.add_endpoint(SIGNATURE, serve, [images])
        archive.add_endpoint("serve_bytes", serve_bytes, [encoded])
    (file,) = FORMATS["saved_model"].files
    with startup.quiet():  # TensorFlow would report a full disk a second time
        archive.write_out(str(directory / file.path), verbose=False)
    return {file.name: {}}
