"""A TFLite file that keeps learning: the training step, of built-in operations alone.

Signatures, B being the batch that was asked for:

    infer    image float32 (1, height, width, channels) -> probabilities (1, classes)
    train    image float32 (B, height, width, channels), label int32 (B,),
             learning_rate float32 () -> loss float32 ()
    weights  -> every trainable parameter by name, float32
    restore  the same names -> restored bool ()
    reset    -> restored bool (): the weights that it was shipped with
    weights_java, reset_java
             ignored float32 () -> the same: Java's runSignature, which is Kotlin's
             too, refuses to run a signature without inputs

Weights live as long as an interpreter; ``weights`` and ``restore`` keep them for longer
without the operations Save and Restore, which need the Flex delegate.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from export import tflite, verify_training
from export.base import EXACT, Draft, ExportedFile, Format
from export.formats import DEVICE_OPTIMIZERS
from export.tflite_gradients import builtin_gradients
from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.training.outcome import TrainedRun


class TFLiteTrainable(Format):
    """The file that learns on the device."""

    name = "tflite_trainable"
    files = (
        ExportedFile(
            name="trainable",
            path="tflite/model_trainable.tflite",
            purpose="learning on the device",
            bound=EXACT,
            # It packs its weights for every example: minutes more.
            threads=False,
        ),
    )

    def check(self, trained: TrainedRun) -> None:
        """Raises UserError unless the run is a classifier in float32."""
        model = trained.model
        kind = "a regression" if model.num_classes is None else model.compute_dtype
        if kind != "float32":
            raise UserError(
                "tflite_trainable is for classifiers that compute in float32. "
                f"Received: {trained.run.path}, {kind}. Leave it out of the formats."
            )

    def write(self, draft: Draft) -> None:
        """Writes the file."""
        path = draft.directory / self.files[0].path
        path.parent.mkdir(exist_ok=True)
        write(
            draft.trained.model,
            draft.data["input_shape"],
            path,
            train_batch=draft.train_batch,
            device_optimizer=draft.device_optimizer,
        )

    def details(self, draft: Draft, file: ExportedFile) -> tuple[dict, list[str]]:
        """Proves that it learns as Keras does."""
        training, problems = verify_training.verify(draft, draft.directory / file.path)
        return {"training": training}, problems


FORMAT = TFLiteTrainable()


def write(
    model: TapeModel,
    input_shape: Sequence[int],
    path: pathlib.Path,
    *,
    train_batch: int,
    device_optimizer: str,
) -> None:
    """Writes the file.

    Dropout is off and batch normalization keeps its moving statistics, in training
    too: a few examples on a device are no measure of either. The loss is the mean
    cross-entropy, whatever the recipe's is.

    Args:
        model: the trained model, a classifier in float32.
        input_shape: (height, width, channels).
        path: of the file, in a directory that is there.
        train_batch: examples of a training step, B.
        device_optimizer: one of ``formats.DEVICE_OPTIMIZERS``.

    Raises:
        RunError: an operation that is not built in, or has no gradient that is.
    """
    device = _Device(model, train_batch, DEVICE_OPTIMIZERS[device_optimizer])
    functions = device.functions(input_shape)
    with tempfile.TemporaryDirectory() as source:
        # Our gradients are in the graph already; how they were made is not saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(device, source, functions, options)
        converter = tflite.open_converter(source, list(functions))
        converter.experimental_enable_resource_variables = True
        path.write_bytes(tflite.run_converter(converter, path.name))


class _Device(tf.Module):
    """The functions of the file over the model's own variables."""

    def __init__(self, model: TapeModel, train_batch: int, momentum: float):
        super().__init__()
        self._model = model
        self._batch = train_batch
        self._momentum = momentum
        # tf.saved_model.save finds the moving statistics here.
        self._all = [variable.value for variable in model.variables]
        self._names = model.parameter_names
        self._weights = [variable.value for variable in model.trainable_variables]
        # Momentum as the weights of one step ago: what it starts from is in the file
        # already, where zeros would be as large as the weights once more.
        slots = self._weights if momentum else []
        self._before = [tf.Variable(weight, name="before") for weight in slots]
        self._shipped = [tf.constant(w.numpy()) for w in self._weights]

    def functions(self, input_shape: Sequence[int]) -> dict[str, Any]:
        """Returns the signatures for images of a shape, traced."""

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
            # The batch, or 0 where a label is no class and has chosen nothing: then
            # neither the loss nor the updates are finite.
            known = tf.reduce_sum(chosen) // self._batch * self._batch
            loss = -likelihood / known
            # The whole step but for momentum: one pass over the weights less.
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
    """Returns whether all numbers are finite: their sum is."""
    # Not by add_n: LiteRT's addition turns infinity into the largest number.
    total = tf.reduce_sum(tf.stack([tf.reduce_sum(tensor) for tensor in tensors]))
    return tf.abs(total) <= tf.float32.max
