"""The devices of a training: tf.distribute, and workarounds for Keras 3."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import RunError, UserError
from zoo.training import signals
from zoo.training.cluster import Cluster

# The errors that TensorFlow raises in the other workers when one has stopped.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
)


@dataclasses.dataclass(frozen=True)
class Placement:
    """The devices of a training."""

    name: str  # as --strategy takes it
    strategy: Any = None  # a tf.distribute.Strategy; None for one device
    workers: int = 1
    index: int = 0  # the position of this process among the workers; the chief is 0

    @property
    def replicas(self) -> int:
        """Number of devices that share a batch."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run directory."""
        return self.index == 0

    @property
    def rows(self) -> tuple[int, int, int]:
        """The first replica of this process, its replicas, and all replicas."""
        here = self.replicas // self.workers
        return self.index * here, here, self.replicas

    def to_json(self) -> dict[str, Any]:
        """Returns the record of the devices for config.json and result.json."""
        return {"name": self.name, "replicas": self.replicas, "workers": self.workers}

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the scope to create variables in."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """Returns the dataset for ``fit``; each element is the part of one replica."""
        if self.strategy is None:
            return dataset
        # All replicas have the same number of steps, so they need not ask each other
        # whether there are data.
        self.strategy.extended.experimental_enable_get_next_as_optional = False
        distributed = self.strategy.distribute_datasets_from_function(lambda _: dataset)
        # TensorFlow 2.21 counts elements, but Keras takes them for steps. After the
        # last step, it would run those parts of a step that need no data.
        distributed._cardinality //= self.rows[1]
        return distributed

    def total(self, values: Sequence[int]) -> list[int]:
        """Returns the sums of whole numbers over all workers; waits for all workers."""
        if self.workers == 1:
            return list(values)
        return self._add(tf.constant(values, tf.int64)).numpy().tolist()

    @functools.cached_property
    def _add(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """A compiled function that sums int64 vectors over all workers."""
        here = self.rows[1]

        def add_in_replica(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # Count each worker once, no matter how many replicas it has.
            first = tf.equal(context.replica_id_in_sync_group % here, 0)
            return context.all_reduce("SUM", tf.where(first, values, 0))

        @tf.function
        def add(values: tf.Tensor) -> tf.Tensor:
            results = self.strategy.run(add_in_replica, args=(values,))
            return self.strategy.experimental_local_results(results)[0]

        return add

    def reader(
        self, variables: Sequence[keras.Variable]
    ) -> Callable[[], list[np.ndarray]]:
        """Returns a function that reads variables; all workers must call it together.

        If each replica has its own value, as for metrics, the values are summed.
        """
        if self.strategy is None:
            return lambda: [variable.value.numpy() for variable in variables]
        # Compiled, because each sum in eager mode takes tens of milliseconds.
        compiled = tf.function(lambda: [v.value.read_value() for v in variables])

        def read() -> list[np.ndarray]:
            with self.strategy.scope():
                return [value.numpy() for value in compiled()]

        return read

    def wait(self) -> None:
        """Waits for all workers."""
        self.total([0])

    def check_same(self, what: str, value: str) -> None:
        """Raises UserError unless all workers pass the same text."""
        mine = zlib.crc32(value.encode())
        if self.total([mine])[0] != mine * self.workers:
            raise UserError(
                f"The workers differ in {what}. Received in worker {self.index}: "
                f"{value[:200]}. Start all workers with the same command, with a run "
                "directory and data that all of them see."
            )

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Raises RunError instead of the errors that a stopped worker causes."""
        try:
            yield
        except _LOST as error:
            if self.workers == 1:
                raise
            raise RunError(
                f"Worker {self.index} of {self.workers} stops, because another one has "
                "stopped or cannot be reached; its own message says why "
                f"({type(error).__name__}: {_line(error, -1)}). Start all "
                "workers again with the same command to resume from the last backup."
            ) from error


def _line(error: Exception, number: int) -> str:
    lines = str(getattr(error, "message", None) or error).strip().splitlines()
    return lines[number][:160] if lines else ""


def place(name: str, cluster: Cluster | None = None) -> Placement:
    """Returns the devices for a ``--strategy``; the workers of a cluster connect here.

    A process has only one strategy of each kind: TensorFlow 2.21 numbers the
    collectives of each strategy from 0, and confuses collectives with the same number.
    """
    if cluster:
        return _multi_worker(cluster)
    gpus = tf.config.list_logical_devices("GPU")
    tpus = tf.config.list_physical_devices("TPU") or os.environ.get("TPU_NAME")
    if name == "tpu" or (name == "auto" and tpus):
        return _tpu(name)
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return _mirrored()
    return Placement("one")


@functools.cache
def _mirrored() -> Placement:
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    return Placement("mirrored", tf.distribute.MirroredStrategy(devices))


@functools.cache
def _tpu(asked: str) -> Placement:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return Placement("tpu", tf.distribute.TPUStrategy(resolver))
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"There is no TPU that TensorFlow can use ({_line(error, 0)}). Received: "
            f"--strategy={asked}, TPU_NAME={os.environ.get('TPU_NAME', '')}. Choose "
            "--strategy=one or mirrored, or set TPU_NAME to one that is there."
        ) from error


@functools.cache
def _multi_worker(found: Cluster) -> Placement:
    count = len(found.workers)
    if found.index == 0:  # TensorFlow waits for an hour without a message
        print(f"Waiting for {count} workers: {', '.join(found.workers)}.", flush=True)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(found.workers)}),
        task_type="worker",
        task_id=found.index,
        rpc_layer="grpc",
    )
    try:
        with signals.ending():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (RuntimeError, tf.errors.OpError) as error:
        raise RunError(
            f"Worker {found.index} of {count} cannot join the others at "
            f"{', '.join(found.workers)}: {_line(error, 0)}"
        ) from error
    return Placement("multi_worker", strategy, count, found.index)


def jit_compile(asked: str, placement: Placement) -> bool:
    """Returns whether to compile with XLA for this value of ``--jit_compile``.

    XLA cannot compile a step that several devices share (TensorFlow 2.21: "Trying to
    access resource ... located in device").
    """
    shared = placement.strategy is not None and placement.name != "tpu"
    if asked == "auto":
        return bool(tf.config.list_physical_devices("GPU")) and not shared
    if asked == "true" and shared:
        raise UserError(
            "XLA only compiles steps of a single device. Received: --jit_compile=true, "
            f"--strategy={placement.name} with {placement.replicas} replicas. Pass "
            "--jit_compile=auto or --strategy=one."
        )
    return asked == "true"


def repair(model: keras.Model) -> None:
    """Makes ``fit`` work for a model that was created under a strategy.

    Keras 3.0 to 3.15 fails in three places (keras issue 20585, and a loop). The lines
    below are those of keras/src/backend/tensorflow/trainer.py (3.15.1). Remove the
    repairs when ``fit`` works without them.
    """
    strategy = model.distribute_strategy
    build = model._maybe_symbolic_build
    # The remaining steps of each epoch's iterator.
    left: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    # Line 731 reduces a tuple of PerReplica values to build the model, but
    # MultiWorkerMirroredStrategy can only reduce a single value. Take the first one.
    def maybe_symbolic_build(iterator: Any = None, data_batch: Any = None) -> None:
        for _, _, batches in iterator or ():
            data_batch = tf.nest.map_structure(
                lambda value: strategy.experimental_local_results(value)[0],
                next(batches),
            )
            break
        build(data_batch=data_batch)

    # Line 182 puts a step into a ``tf.cond`` in a loop, which raises "You must feed a
    # value for placeholder tensor" under any strategy. Run the steps of a call from
    # Python in a plain loop.
    @tf.function(reduce_retracing=True)
    def step(data: Any) -> dict[str, Any]:
        return strategy.run(model.train_step, args=(data,))

    # Line 841 takes the mean of metrics over axis 0, but scalars have no axis.
    @tf.function(reduce_retracing=True)
    def steps(iterator: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        for _ in tf.range(count - 1):
            step(next(iterator))
        logs = step(next(iterator))
        return {name: strategy.reduce("MEAN", logs[name], None) for name in logs}

    def train(iterator: Any) -> dict[str, tf.Tensor]:
        rest = left.get(iterator, iterator._cardinality)
        count = min(model.steps_per_execution, rest)
        left[iterator] = rest - count
        return steps(iterator, tf.constant(count))

    model._maybe_symbolic_build = maybe_symbolic_build
    model.train_function = train
