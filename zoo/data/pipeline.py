"""Batches by step: the batch of step s is a pure function of (seed, s).

A pass over the data is a permutation that ``index_shuffle`` computes without
state, a whole batch of indices at a time. So the pipeline can start at any step,
has no shuffle buffer, and gathers batches instead of examples.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from zoo.data import augment
from zoo.data.cache import reader
from zoo.data.dataset import Split
from zoo.data.draws import Draws
from zoo.errors import UserError
from zoo.recipe import Recipe

EVAL_BATCH_SIZE = 500


@dataclasses.dataclass(frozen=True)
class Plan:
    """The length of a training, in numbers.

    Attributes:
        num_examples: size of the training split.
        batch_size: examples in a batch.
        steps_per_pass: batches in one pass over the data.
        steps_per_epoch: steps of one epoch (round), often one pass.
        epochs: number of epochs.
    """

    num_examples: int
    batch_size: int
    steps_per_pass: int
    steps_per_epoch: int
    epochs: int

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Sizes of a batch, and of the partial one that ends a pass if it is kept."""
        kept = self.steps_per_pass * self.batch_size > self.num_examples
        remainder = self.num_examples % self.batch_size
        return (self.batch_size, remainder) if kept else (self.batch_size,)

    def examples_until(self, step: int) -> int:
        """Number of examples in the batches before ``step``."""
        passes, rest = divmod(step, self.steps_per_pass)
        per_pass = min(self.num_examples, self.steps_per_pass * self.batch_size)
        return passes * per_pass + rest * self.batch_size


def make_plan(recipe: Recipe, num_examples: int) -> Plan:
    """Works out how long a recipe trains on so many examples.

    Raises:
        UserError: the batch is larger than the training split.
    """
    batch_size = recipe.batch_size or num_examples
    if batch_size > num_examples:
        raise UserError(
            f"The batch is larger than the training split. Received: a batch of "
            f"{batch_size}, {num_examples} examples. Pass --batch_size={num_examples} "
            "or less."
        )
    steps_per_pass = num_examples // batch_size
    if recipe.remainder == "keep":
        steps_per_pass = _ceil_divide(num_examples, batch_size)
    steps_per_epoch = recipe.steps_per_epoch or max(
        steps_per_pass, _ceil_divide(recipe.min_steps, recipe.epochs)
    )
    return Plan(
        num_examples, batch_size, steps_per_pass, steps_per_epoch, recipe.epochs
    )


def _ceil_divide(a: int, b: int) -> int:
    return -(-a // b)


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which rows of each batch are served: those of some of its replicas.

    Attributes:
        first: the first replica served.
        replicas: how many are served, each with an element of its own.
        of: how many replicas a batch is divided among.
    """

    first: int = 0
    replicas: int = 1
    of: int = 1

    def check(self, plan: Plan) -> None:
        """Checks that every batch can be divided evenly.

        Raises:
            UserError: it cannot; the message has sizes that can.
        """
        sizes = plan.batch_sizes
        if not any(size % self.of for size in sizes):
            return
        received = f"a batch of {plan.batch_size}"
        if len(sizes) > 1:
            received += f", and of {sizes[1]} at the end of each pass"
        fitting = [
            size
            for size in range(self.of, plan.num_examples + 1, self.of)
            if len(sizes) == 1 or plan.num_examples % size % self.of == 0
        ]
        near = sorted(fitting, key=lambda size: abs(size - plan.batch_size))[:4]
        hint = f"Pass --batch_size={' or '.join(map(str, sorted(near)))}"
        if not near:
            hint = f"No --batch_size fits {plan.num_examples} examples"
        raise UserError(
            f"The {self.of} replicas would get unequal parts of a batch. Received: "
            f"{received}. {hint}, or choose another number of replicas."
        )


def batch_indices(
    step: tf.Tensor,
    plan: Plan,
    *,
    seed: int,
    shuffled: bool,
    part: tuple[tf.Tensor | int, int] = (0, 1),
) -> tf.Tensor:
    """Returns the examples of the batch of a step.

    Args:
        step: int64 scalar, counted from 0 over the whole training.
        plan: the sizes.
        seed: of the run.
        shuffled: False for the order of the file.
        part: (k, n) for the k-th of n equal parts of the batch.

    Returns:
        int64 (batch / n,) indices; fewer for the partial batch that ends a pass.
    """
    step = tf.cast(step, tf.int64)
    number_of_pass = step // plan.steps_per_pass
    first = (step % plan.steps_per_pass) * plan.batch_size
    k, n = part
    # With a fixed size the shape is static, which XLA and fast kernels want.
    rows = tf.range(plan.batch_size // n, dtype=tf.int64)
    size = tf.constant(plan.batch_size, tf.int64)
    if len(plan.batch_sizes) > 1:
        size = tf.minimum(size, plan.num_examples - first)
        rows = rows[: size // n]
    indices = first + tf.cast(k, tf.int64) * (size // n) + rows
    if not shuffled:
        return indices
    return tf.random.experimental.index_shuffle(
        indices,
        seed=tf.stack([tf.constant(seed, tf.int64), number_of_pass]),
        max_index=tf.constant(plan.num_examples - 1, tf.int64),
    )


class TrainingBatches:
    """The training batches of one epoch, whichever ``start_at`` chose.

    ``model.fit`` makes a new iterator of ``dataset`` at the beginning of each
    epoch; the first step of that iterator is read from a variable then.

    Args:
        split: the examples.
        plan: the sizes.
        recipe: how to shuffle and augment them.
        seed: of the run.
        op_determinism: TensorFlow's op determinism is on.
        shard: which rows of the batches; one after the other where several replicas
            are served.

    Attributes:
        dataset: (x, y) batches, as many as an epoch has steps for each replica.
    """

    def __init__(
        self,
        split: Split,
        plan: Plan,
        recipe: Recipe,
        *,
        seed: int,
        op_determinism: bool = False,
        shard: Shard = Shard(),
    ):
        shard.check(plan)
        self._shard = shard
        self._first_step = tf.Variable(0, dtype=tf.int64, trainable=False)
        read, y = reader(split.x), tf.constant(split.y)

        def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            step = self._first_step + index // shard.replicas
            replica = shard.first + index % shard.replicas
            indices = batch_indices(
                step,
                plan,
                seed=seed,
                shuffled=recipe.order == "shuffled",
                part=(replica, shard.of),
            )
            images = read(indices)
            if recipe.augment:
                size = tf.shape(images)[0]
                draws = Draws(
                    seed=tf.stack([tf.constant(seed, tf.int64), step]),
                    size=size,
                    first=tf.cast(replica, tf.int32) * size,
                    batch=size * shard.of,
                )
                images = augment.augment(images, recipe.augment, draws)
            return images, tf.gather(y, indices)

        # One parallel call: more of them take the cores of the training step. With op
        # determinism TensorFlow ignores the option, and complains about it.
        options = {"num_parallel_calls": 1, "deterministic": True}
        elements = tf.data.Dataset.range(plan.steps_per_epoch * shard.replicas)
        made = elements.map(batch, **({} if op_determinism else options))
        self.dataset = made.prefetch(2)

    def take(self, steps: int) -> tf.data.Dataset:
        """Returns the first batches of an epoch, for so many steps."""
        return self.dataset.take(steps * self._shard.replicas)

    def start_at(self, step: int) -> None:
        """Makes ``step`` the first one of the next iterator."""
        self._first_step.assign(step)


def evaluation_batches(
    split: Split, batch_size: int = EVAL_BATCH_SIZE
) -> tf.data.Dataset:
    """Returns (x, y) batches with every example exactly once, in order."""
    read, y = reader(split.x), tf.constant(split.y)
    size = len(split.y)

    def batch(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first = index * batch_size
        last = tf.minimum(first + batch_size, size)
        indices = tf.range(first, last)
        return read(indices), tf.gather(y, indices)

    return (
        tf.data.Dataset.range(_ceil_divide(size, batch_size))
        .map(batch, num_parallel_calls=1, deterministic=True)
        .prefetch(2)
    )
