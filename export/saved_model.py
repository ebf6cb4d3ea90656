"""SavedModel in TF Serving's layout: a numbered version in a directory.

tf.saved_model.save of a Keras 3 model gives functions that the TFLite converter finds
no weights in; ExportArchive tracks what its endpoints use. The model itself is not
tracked besides: Keras 3.15 would then write every weight twice.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from export import signatures
from export.base import EXACT, Draft, ExportedFile, Format
from zoo.artifact import SIGNATURE
from zoo.data import decode


class SavedModel(Format):
    """A directory for TF Serving, with the signatures of a server."""

    name = "saved_model"
    files = (ExportedFile("saved_model", "saved_model/1", "servers", EXACT, EXACT),)

    def write(self, draft: Draft) -> None:
        """Writes it."""
        model, shape = draft.trained.model, tuple(draft.data["input_shape"])
        archive = keras.export.ExportArchive()

        def add(signature: str, function: Callable, spec: tf.TensorSpec) -> None:
            archive.add_endpoint(signature, function, input_signature=[spec])

        def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return signatures.classify(model, image)

        def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            image = tf.map_fn(
                lambda content: decode.decode(content, *shape),
                image_bytes,
                fn_output_signature=tf.TensorSpec(shape, tf.uint8),
            )
            return signatures.classify(model, image)

        def predict(x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": signatures.answer(model, x)}

        if draft.is_classifier:
            add(SIGNATURE, serve, tf.TensorSpec((None, *shape), tf.uint8, "image"))
            encoded = tf.TensorSpec((None,), tf.string, "image_bytes")
            add(signatures.BYTES_SIGNATURE, serve_bytes, encoded)
        else:
            add(SIGNATURE, predict, tf.TensorSpec((None, *shape), tf.float32, "x"))
        directory = draft.directory / self.files[0].path
        archive.write_out(str(directory), verbose=False)


FORMAT = SavedModel()
