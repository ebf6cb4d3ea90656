"""A TFLite file with a training step made of built-in operations.

Its signatures, where B is the batch size of a training step:

    infer    image float32 (1, height, width, channels) -> probabilities (1, classes)
    train    image float32 (B, height, width, channels), label int32 (B,),
             learning_rate float32 () -> loss float32 ()
    weights  -> every parameter that it learns by name, float32
    restore  the same names -> restored bool ()
    reset    -> restored bool (); goes back to the weights in the file
    weights_java, reset_java
             ignored float32 () -> the same; they exist because Java's and Kotlin's
             runSignature refuses signatures without inputs

Weights live as long as the interpreter. An app stores them with ``weights`` and
``restore``, without the operations Save and Restore, which need the Flex delegate.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from export import tflite
from export.formats import DEVICE_OPTIMIZERS, FORMATS
from export.ondevice import verify
from export.ondevice.gradients import builtin_gradients
from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.runs.run import Run


def export(
    run: Run, directory: pathlib.Path, *, train_batch: int, device_optimizer: str
) -> dict[str, dict[str, Any]]:
    """Writes the file and verifies whether it trains as Keras does."""
    model = run.model
    if model.compute_dtype != "float32":
        raise UserError(
            "tflite_trainable is for models that compute in float32. Received: "
            f"{run.run.path}, {model.compute_dtype}. Leave it out of the formats."
        )
    (file,) = FORMATS["tflite_trainable"].files
    path = directory / file.path
    tflite.write_labels(run, path.parent)
    write(
        model,
        run.config["data"]["input_shape"],
        path,
        train_batch=train_batch,
        device_optimizer=device_optimizer,
        freeze=run.device_freeze,
    )
    training, problems = verify.verify(run, path, device_optimizer)
    return {file.name: {"training": training, "problems": problems}}


def write(
    model: TapeModel,
    input_shape: Sequence[int],
    path: pathlib.Path,
    *,
    train_batch: int,
    device_optimizer: str,
    freeze: str | None = None,
) -> None:
    """Writes the file for a classifier that computes in float32.

    The file learns the weights of the stage ``freeze`` and the following ones, or all.
    Training on the device has no dropout, and batch normalization keeps its moving
    statistics, because there are too few examples for either. The loss is the mean
    cross-entropy, even if the recipe uses another loss.
    """
    parameters = model.parameters(freeze)
    momentum = DEVICE_OPTIMIZERS[device_optimizer]
    device = _Device(model, parameters, train_batch, momentum)
    functions = device.functions(input_shape)
    with tempfile.TemporaryDirectory() as source:
        # The graph already contains our gradients, so their functions are not saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(device, source, functions, options)
        converter = tflite.open_converter(source, list(functions))
        converter.experimental_enable_resource_variables = True
        path.write_bytes(tflite.run_converter(converter, path.name))


class _Device(tf.Module):
    """The functions of the file, which use the model's own variables."""

    def __init__(
        self,
        model: TapeModel,
        parameters: Mapping[str, keras.Variable],
        train_batch: int,
        momentum: float,
    ):
        super().__init__()
        self._model = model
        self._batch = train_batch
        self._momentum = momentum
        # tf.saved_model.save finds the variables that do not learn through this.
        self._all = [variable.value for variable in model.variables]
        self._names = list(parameters)
        self._weights = [variable.value for variable in parameters.values()]
        # Momentum is computed from the weights of the previous step. Their initial
        # values are in the file already; zeros would double its size.
        slots = self._weights if momentum else []
        self._before = [tf.Variable(weight, name="before") for weight in slots]
        self._shipped = [tf.constant(w.numpy()) for w in self._weights]

    def functions(self, input_shape: Sequence[int]) -> dict[str, Any]:
        """Returns the file's signatures, traced for images of ``input_shape``."""

        def trace(function: Callable, **shapes: Sequence[int]) -> Any:
            specs = {
                name: tf.TensorSpec(
                    shape, tf.int32 if name == "label" else tf.float32, name
                )
                for name, shape in shapes.items()
            }
            return tf.function(function).get_concrete_function(**specs)

        weights = dict(zip(self._names, (w.shape for w in self._weights), strict=True))
        batch = {"image": (self._batch, *input_shape), "label": (self._batch,)}
        return {
            "infer": trace(self._infer, image=(1, *input_shape)),
            "train": trace(self._train, **batch, learning_rate=()),
            "weights": trace(self._read),
            "weights_java": trace(self._read, ignored=()),
            "restore": trace(self._restore, **weights),
            "reset": trace(self._reset),
            "reset_java": trace(self._reset, ignored=()),
        }

    def _infer(self, image):
        return {"probabilities": tflite.answer(self._model, image)}

    def _train(self, image, label, learning_rate):
        with builtin_gradients():
            logits = self._model(image, training=False)
            chosen = tf.one_hot(label, self._model.num_classes)
            likelihood = tf.reduce_sum(tf.nn.log_softmax(logits) * chosen)
            # The batch size, or 0 if a label is invalid and its one-hot row is zero.
            # Neither the loss nor the updates are finite in that case.
            known = tf.reduce_sum(chosen) // self._batch * self._batch
            loss = -likelihood / known
            # Scaling by the learning rate here saves a pass over the weights.
            updates = tf.gradients(loss, self._weights, grad_ys=-learning_rate)
        for i, before in enumerate(self._before):
            updates[i] += self._momentum * (self._weights[i] - before)
        good = _finite([loss, *updates])
        for before, weight in zip(self._before, self._weights, strict=False):
            before.assign(tf.where(good, weight, before))
        for weight, update in zip(self._weights, updates, strict=True):
            weight.assign_add(tf.where(good, update, 0.0))
        return {"loss": tf.where(good, loss, float("nan"))}

    def _read(self, ignored=None):
        weights = map(tf.identity, self._weights)
        return dict(zip(self._names, weights, strict=True))

    def _restore(self, **given):
        good = _finite([*given.values()])
        pairs = zip(map(given.get, self._names), self._weights, strict=True)
        return self._assign([tf.where(good, *pair) for pair in pairs], good)

    def _reset(self, ignored=None):
        return self._assign(self._shipped, tf.constant(True))

    def _assign(self, values, restored):
        for variables in (self._weights, self._before):
            for variable, value in zip(variables, values, strict=False):
                variable.assign(value)
        return {"restored": restored}


def _finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns whether the sum of all numbers is finite."""
    # add_n does not work: LiteRT's addition turns infinity into the largest number.
    total = tf.reduce_sum(tf.stack([tf.reduce_sum(tensor) for tensor in tensors]))
    return tf.abs(total) <= tf.float32.max
