"""Batches by step: the batch of step s is a pure function of (seed, s).

A pass over the data is a permutation that ``index_shuffle`` computes without state, one
batch of indices at a time. The pipeline can therefore start at any step, needs no
shuffle buffer, and gathers whole batches instead of single examples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection

import numpy as np
import tensorflow as tf

from zoo.data import augment
from zoo.data.dataset import MappedImages, Split
from zoo.data.decode import untuned
from zoo.data.draws import Draws
from zoo.errors import UserError
from zoo.recipe import Recipe

# An evaluation takes up to this many examples at once, but fewer large images: the
# features of a batch should stay in the cache and must fit into the memory.
EVAL_BATCH_SIZE = 500
_EVAL_NUMBERS = 2_000_000
# A batch is halved until a pass has this many steps, but not below this size.
_STEPS_PER_PASS = 40
_SMALLEST_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Plan:
    """The length of a training, in numbers."""

    num_examples: int  # size of the training split
    batch_size: int
    steps_per_pass: int  # batches in one pass over the data
    steps_per_epoch: int  # steps of one epoch (round), often one pass
    epochs: int

    @property
    def steps(self) -> int:
        """Number of steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    @property
    def last_batch(self) -> int:
        """Number of examples in the last batch of a pass, which may be smaller."""
        before = (self.steps_per_pass - 1) * self.batch_size
        return min(self.batch_size, self.num_examples - before)

    def examples_until(self, step: int) -> int:
        """Number of examples in the batches before ``step``."""
        passes, rest = divmod(step, self.steps_per_pass)
        per_pass = min(self.num_examples, self.steps_per_pass * self.batch_size)
        return passes * per_pass + rest * self.batch_size


def fit_to(recipe: Recipe, num_examples: int, asked: Collection[str] = ()) -> Recipe:
    """Returns the recipe with a batch size that suits the number of examples.

    The batch is halved until a pass over the examples has 40 steps, or until half of it
    would be less than 16 examples; it is never larger than the training split. With
    sgd, the learning rate is reduced in proportion to the batch; with other optimizers,
    such as Adam, in proportion to its square root. Recipes that repeat a tutorial step
    for step, or that set their number of steps, stay as they are.

    Args:
        recipe: the recipe.
        num_examples: size of the training split.
        asked: names of the fields that the user has set; these stay as they are.
    """
    exact = recipe.order == "file" or recipe.remainder == "keep"
    if (
        exact
        or recipe.steps_per_epoch
        or not recipe.batch_size
        or "batch_size" in asked
    ):
        return recipe
    size = recipe.batch_size
    while size >= 2 * _SMALLEST_BATCH and num_examples // size < _STEPS_PER_PASS:
        size //= 2
    size = min(size, num_examples)
    if size == recipe.batch_size:
        return recipe
    rate = recipe.learning_rate
    if "learning_rate" not in asked:
        ratio = size / recipe.batch_size
        rate *= ratio if recipe.optimizer == "sgd" else math.sqrt(ratio)
        rate = float(f"{rate:.4g}")
    return dataclasses.replace(recipe, batch_size=size, learning_rate=rate)


def make_plan(recipe: Recipe, num_examples: int, replicas: int = 1) -> Plan:
    """Returns the numbers of steps and epochs for a number of examples."""
    batch_size = recipe.batch_size or num_examples
    if batch_size > num_examples:
        raise UserError(
            f"The batch is larger than the training split. Received: a batch of "
            f"{batch_size}, {num_examples} examples. Pass --batch_size={num_examples} "
            "or less."
        )
    steps_per_pass = num_examples // batch_size
    if recipe.remainder == "keep":
        steps_per_pass = math.ceil(num_examples / batch_size)
    steps_per_epoch = recipe.steps_per_epoch or max(
        steps_per_pass, math.ceil(recipe.min_steps / recipe.epochs)
    )
    plan = Plan(
        num_examples, batch_size, steps_per_pass, steps_per_epoch, recipe.epochs
    )
    sizes = sorted({plan.last_batch, batch_size})
    if any(size % replicas for size in sizes):
        raise UserError(
            f"The {replicas} replicas would get unequal parts of a batch. Received: "
            f"batches of {' and '.join(map(str, sizes))} examples. Choose another "
            "--batch_size, or another number of replicas."
        )
    return plan


class TrainingBatches:
    """The batches of one epoch, from the step that ``start_at`` set.

    ``model.fit`` makes a new iterator of ``dataset`` at the beginning of each epoch.
    The iterator then reads its first step from a variable.

    Args:
        split: the examples.
        plan: the size and the number of the batches.
        recipe: the recipe, which says how to shuffle and augment the examples.
        seed: the seed of the run.
        op_determinism: whether TensorFlow's op determinism is on.
        replicas: (first, number, all): the first replica to serve, the number of
            replicas to serve, each with its own element, and the number of replicas
            that share a batch.
        class_weights: weight of each class in the loss; None for equal weights.

    Attributes:
        dataset: batches (x, y), or (x, y, sample weights) with ``class_weights``. It
            has one element per step of an epoch and replica.
    """

    def __init__(
        self,
        split: Split,
        plan: Plan,
        recipe: Recipe,
        *,
        seed: int,
        op_determinism: bool = False,
        replicas: tuple[int, int, int] = (0, 1, 1),
        class_weights: np.ndarray | None = None,
    ):
        self._plan, self._recipe, self._seed = plan, recipe, seed
        self._first_replica, self._served, self._replicas = replicas
        self._first_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._read, self._y = _reader(split.x), tf.constant(split.y)
        self._class_weights = class_weights
        # More than one parallel call would take cores away from the training step. With
        # op determinism, TensorFlow ignores the option and warns about it.
        elements = tf.data.Dataset.range(plan.steps_per_epoch * self._served).map(
            self._element,
            num_parallel_calls=None if op_determinism else 1,
            deterministic=None if op_determinism else True,
        )
        self.dataset = untuned(elements.prefetch(2))

    @tf.autograph.experimental.do_not_convert  # the conversion takes a second
    def _element(self, index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        step = self._first_step + index // self._served
        replica = self._first_replica + index % self._served
        indices = self._indices(step, replica)
        images = self._read(indices)
        if self._recipe.augment:
            size = tf.shape(images)[0]
            draws = Draws(
                seed=tf.stack([tf.constant(self._seed, tf.int64), step]),
                batch=size * self._replicas,
                first=tf.cast(replica, tf.int32) * size,
                size=size,
            )
            images = augment.augment(images, self._recipe.augment, draws)
        labels = tf.gather(self._y, indices)
        if self._class_weights is None:
            return images, labels
        return images, labels, tf.gather(tf.constant(self._class_weights), labels)

    def _indices(self, step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
        """Returns the int64 indices of a replica's examples in a step."""
        plan = self._plan
        number_of_pass = step // plan.steps_per_pass
        first = (step % plan.steps_per_pass) * plan.batch_size
        # With a fixed size, the shape is static, as XLA and fast kernels need it.
        size = plan.batch_size // self._replicas
        rows = tf.range(size, dtype=tf.int64)
        if plan.last_batch < plan.batch_size:
            left = tf.minimum(plan.num_examples - first, plan.batch_size)
            size = left // self._replicas
            rows = rows[:size]
        indices = first + replica * size + rows
        if self._recipe.order == "file":
            return indices
        return tf.random.experimental.index_shuffle(
            indices,
            seed=tf.stack([tf.constant(self._seed, tf.int64), number_of_pass]),
            max_index=tf.constant(plan.num_examples - 1, tf.int64),
        )

    def take(self, steps: int) -> tf.data.Dataset:
        """Returns the first batches of an epoch, enough for this number of steps."""
        return self.dataset.take(steps * self._served)

    def start_at(self, step: int) -> None:
        """Makes ``step`` the first one of the next iterator."""
        self._first_step.assign(step)


def evaluation_batches(split: Split, batch_size: int | None = None) -> tf.data.Dataset:
    """Returns (x, y) batches with every example exactly once, in order."""
    read, y = _reader(split.x), tf.constant(split.y)
    size = len(split.y)
    if batch_size is None:
        fitting = max(32, _EVAL_NUMBERS // math.prod(split.x.shape[1:]))
        batch_size = min(EVAL_BATCH_SIZE, fitting)

    def batch(first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        indices = tf.range(first, tf.minimum(first + batch_size, size))
        return read(indices), tf.gather(y, indices)

    firsts = tf.data.Dataset.range(0, size, batch_size)
    batches = firsts.map(batch, num_parallel_calls=1, deterministic=True)
    return untuned(batches.prefetch(2))


def _reader(x: np.ndarray | MappedImages) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function for tf.data that maps indices (batch,) to examples."""
    if isinstance(x, np.ndarray):
        values = tf.constant(x)
        return lambda indices: tf.gather(values, indices)

    def read(indices: tf.Tensor) -> tf.Tensor:
        images = tf.numpy_function(x.__getitem__, [indices], tf.uint8, stateful=False)
        images.set_shape((indices.shape[0], *x.shape[1:]))
        return images

    return read
