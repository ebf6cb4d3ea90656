"""TapeModel: a tf.keras.Model whose train_step is written with GradientTape."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import tensorflow as tf

from zoo.errors import unknown
from zoo.models.layers import BatchNormalization


class TapeModel(keras.Model):
    """Base class of all architectures: maps raw values to logits or predictions.

    The training step does what stock Keras does: sample weights, regularization
    losses, loss scaling for mixed precision, the reported loss under a tf.distribute
    strategy, and the compiled metrics.

    Args:
        num_classes: number of classes; None for regression with one output; 0 for the
            network without its head, which outputs features (batch, n).
        scale: factor for the raw input.
        offset: number added after scaling.
        report_gradient_norm: whether to report the global norm of the gradients as a
            metric.
        freeze: name of a stage. The stages before it are not trained, and their batch
            normalization works as in inference. None or ``none`` trains all stages.
        freeze_statistics: whether all batch normalization works as in inference, while
            its other parameters are trained.
        **kwargs: passed on to ``keras.Model``, such as ``name``.
    """

    #: Ranks of an example that the architecture accepts: 3 for images.
    example_ranks: tuple[int, ...] = (3,)
    #: Names of the layers with weights in the order of the computation. The last one is
    #: the head, which turns features into the output.
    stages: tuple[str, ...]

    def __init__(
        self,
        num_classes: int | None,
        *,
        scale: float = 1 / 255,
        offset: float = 0.0,
        report_gradient_norm: bool = False,
        freeze: str | None = None,
        freeze_statistics: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.scale = scale
        self.offset = offset
        self.report_gradient_norm = report_gradient_norm
        self.freeze = None if freeze == "none" else freeze
        self.freeze_statistics = freeze_statistics
        self.rescale = keras.layers.Rescaling(scale, offset, name="rescale")
        if report_gradient_norm:
            self.gradient_norm = keras.metrics.Mean(name="gradient_norm")

    @classmethod
    def arguments_for(
        cls, input_shape: tuple[int, ...], **arguments: Any
    ) -> dict[str, Any]:
        """Returns the constructor's arguments for examples of this shape.

        An architecture overrides this if an argument that is not given follows from the
        size of the images.
        """
        return arguments

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example of a model that is built."""
        return tuple(self.get_build_config()["input_shape"][1:])

    @property
    def head_name(self) -> str:
        """Name of the layer that turns features into the output."""
        return self.stages[-1]

    def parameters(self, freeze: str | None = None) -> dict[str, keras.Variable]:
        """Returns the trainable weights by their names, such as ``hidden1_kernel``.

        Args:
            freeze: name of a stage, to return only the weights from this stage on.
        """
        frozen = set(self.stages[: self.stages.index(freeze)] if freeze else ())
        weights = [layer.weights for layer in self.layers if layer.name in frozen]
        excluded = {id(weight) for weight in itertools.chain(*weights)}
        return {
            weight.path.removeprefix(f"{self.name}/").replace("/", "_"): weight
            for weight in self.trainable_weights
            if id(weight) not in excluded
        }

    def make_head(
        self, layer_class: type[keras.layers.Layer], outputs: int, **options: Any
    ) -> keras.layers.Layer:
        """Returns the layer that turns features into the output.

        The layer computes in float32 even with mixed precision. In a network without a
        head, it does nothing.

        Args:
            layer_class: class of the layer, such as ``keras.layers.Dense``.
            outputs: first argument of the class.
            **options: other arguments of the class.
        """
        names = {"name": self.head_name, "dtype": self.variable_dtype}
        if self.num_classes == 0:
            return keras.layers.Identity(**names)
        return layer_class(outputs, **names, **options)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights for inputs of this shape, which includes the batch."""
        # For a subclass, Keras's own build() creates no weights and only warns.
        self.compute_output_spec(keras.KerasTensor(input_shape))
        self.built = True
        layers = {layer.name: layer for layer in self.layers}
        with_weights = {name for name, layer in layers.items() if layer.weights}
        if not with_weights <= set(self.stages) <= layers.keys():
            raise ValueError(
                f"The stages of {type(self).__name__} must be its layers with weights: "
                f"{', '.join(sorted(with_weights))}. Received: "
                f"{', '.join(self.stages)}."
            )
        if self.freeze is not None:
            if self.freeze not in self.stages[1:]:
                known = [*self.stages[1:], "none"]
                raise unknown("layer to freeze before", self.freeze, known)
            for name in self.stages[: self.stages.index(self.freeze)]:
                layers[name].trainable = False
        for layer in self._flatten_layers():
            if isinstance(layer, BatchNormalization):
                layer.freeze_statistics = self.freeze_statistics

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on one batch: x, (x, y) or (x, y, sample_weight)."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
            )
            # Report the loss without the division by the number of replicas.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            reported = loss * tf.cast(replicas, loss.dtype)
            loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(loss, self.trainable_weights)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            gradients = _share_overflow(gradients)
        self._loss_tracker.update_state(reported, sample_weight=tf.shape(x)[0])
        if self.report_gradient_norm:
            self._record_norm(gradients)
        self.optimizer.apply(gradients, self.trainable_weights)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _record_norm(self, gradients: list[tf.Tensor]) -> None:
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            replica = tf.distribute.get_replica_context()
            gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        # scale_loss is linear, so scaling 1 gives the factor to divide by.
        scale = self.optimizer.scale_loss(1.0)
        norm = tf.linalg.global_norm(gradients) / scale
        # Ignore the norm of a step that is skipped to halve the loss scale.
        counts = tf.math.is_finite(norm) | (scale <= 1.0)
        self.gradient_norm.update_state(tf.where(counts, norm, 0.0), counts)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Evaluates one batch, as stock Keras does."""
        logs = super().test_step(data)
        logs.pop("gradient_norm", None)  # there are no gradients here
        return logs

    def epoch_values(self) -> dict[str, float]:
        """Returns further columns of metrics.csv, which every epoch writes."""
        return {}

    def extra_results(self, train: Any) -> dict[str, Any]:
        """Returns further keys of result.json.

        Args:
            train: the training split, with examples ``x`` and targets ``y``.
        """
        return {}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "name": self.name,
            "num_classes": self.num_classes,
            "scale": self.scale,
            "offset": self.offset,
            "report_gradient_norm": self.report_gradient_norm,
            "freeze": self.freeze,
            # Only if it is set: the configuration of other models stays the same.
            **({"freeze_statistics": True} if self.freeze_statistics else {}),
        }


def _share_overflow(gradients: list[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Makes the gradients of all replicas NaN if those of one are not finite.

    In Keras 3.15, each LossScaleOptimizer decides by the gradients of one replica
    whether to skip the step.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return gradients
    # The sum of all elements is finite only if all of them are.
    sums = [tf.reduce_sum(gradient) for gradient in gradients if gradient is not None]
    zero_or_nan = 0.0 * tf.add_n([tf.cast(each, tf.float32) for each in sums])
    shared = tf.distribute.get_replica_context().all_reduce("SUM", zero_or_nan)
    return [
        None if gradient is None else gradient + tf.cast(shared, gradient.dtype)
        for gradient in gradients
    ]
