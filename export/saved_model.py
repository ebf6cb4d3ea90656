"""SavedModel in TF Serving's layout: a numbered version in a directory.

tf.saved_model.save of a Keras 3 model gives functions that the TFLite converter finds
no weights in; ExportArchive tracks what its endpoints use. The model itself is not
tracked besides: Keras 3.15 would then write every weight twice.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from export import signatures
from zoo.artifact import SIGNATURE
from zoo.data import decode
from zoo.models.base import TapeModel


def write(model: TapeModel, data: Mapping[str, Any], directory: pathlib.Path) -> None:
    """Writes the model with the signatures of a server.

    Args:
        model: the trained model.
        data: the run's data, as config.json describes them.
        directory: to be made; its name is the version.
    """
    shape = tuple(data["input_shape"])
    archive = keras.export.ExportArchive()
    if signatures.is_classifier(data):

        def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return signatures.classify(model, image)

        def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            image = tf.map_fn(
                lambda content: decode.decode(content, *shape),
                image_bytes,
                fn_output_signature=tf.TensorSpec(shape, tf.uint8),
            )
            return signatures.classify(model, image)

        _add(archive, SIGNATURE, serve, (None, *shape), tf.uint8, "image")
        _add(
            archive,
            signatures.BYTES_SIGNATURE,
            serve_bytes,
            (None,),
            tf.string,
            "image_bytes",
        )
    else:

        def predict(x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": model(x, training=False)}

        _add(archive, SIGNATURE, predict, (None, *shape), tf.float32, "x")
    archive.write_out(str(directory), verbose=False)


def _add(
    archive: keras.export.ExportArchive,
    signature: str,
    function: Any,
    shape: tuple[int | None, ...],
    dtype: tf.DType,
    name: str,
) -> None:
    spec = tf.TensorSpec(shape, dtype, name=name)
    archive.add_endpoint(signature, function, input_signature=[spec])
