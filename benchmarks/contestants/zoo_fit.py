"""model.fit as train.py runs it: pipeline, callbacks, several steps per call."""

from __future__ import annotations

import pathlib
import tempfile
import time
from typing import Any

from benchmarks import data
from zoo import startup

_NEVER = 10**9  # steps between backups


class Training:
    """A training with a recipe, one epoch at a time.

    Args:
        model_name: name of the architecture.
        recipe_name: name of its recipe.
        steps: steps per epoch; None for one pass over the data.
        deterministic: enable op determinism, for this whole process.
        plain: leave out augmentation and dropout, which the peers do not have.
        **overrides: fields of the recipe to replace.
    """

    def __init__(
        self,
        model_name: str,
        recipe_name: str = "default",
        *,
        steps: int | None = None,
        deterministic: bool = False,
        plain: bool = False,
        **overrides: Any,
    ):
        startup.start()
        import keras
        import tensorflow as tf

        import zoo
        from zoo.data import pipeline

        if deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(0)
        dataset = self.dataset = zoo.load_dataset(str(data.directory()))
        recipe = zoo.get_recipe(model_name, recipe_name).override(
            epochs=2, steps_per_epoch=steps, **overrides
        )
        if plain:
            layers = recipe.model | {"dropout": 0.0}
            recipe = recipe.override(augment={}, model=layers)
        self.recipe = recipe
        self.plan = pipeline.make_plan(recipe, dataset.spec.num_train)
        self.model = zoo.create_model(
            model_name,
            input_shape=dataset.spec.input_shape,
            num_classes=dataset.spec.num_classes,
            recipe=recipe,
            steps=self.plan.steps,
            steps_per_execution=min(
                recipe.steps_per_execution, self.plan.steps_per_epoch
            ),
        )
        self.batches = pipeline.TrainingBatches(
            dataset.train, self.plan, recipe, seed=0, op_determinism=deterministic
        )

    def job(self, directory: pathlib.Path, **fields: Any) -> Any:
        """Returns the job that train.py would run, with some fields of its Config."""
        from zoo.records.rundir import RunDir
        from zoo.training.config import Config
        from zoo.training.distribute import Placement
        from zoo.training.job import Job

        return Job(
            Config(self.model.name, **fields),
            None,
            self.recipe,
            self.recipe,
            None,
            self.dataset,
            self.plan,
            Placement("one"),
            RunDir(directory),
        )

    def keepers(
        self, directory: pathlib.Path, backup_steps: int | None = None
    ) -> tuple[Any, list[Any]]:
        """Returns the progress of the training, and the callbacks of train.py."""
        from zoo.training.callbacks import Checkpoints, MetricsLog, StepCounter
        from zoo.training.checkpoint import Progress
        from zoo.training.signals import Stop

        job, progress = self.job(directory, backup_steps=backup_steps), Progress()
        checkpoints = Checkpoints(job, self.model, progress, Stop())
        checkpoints.restore()
        return progress, [
            StepCounter(progress, self.plan, self.batches),
            MetricsLog(job, progress),
            checkpoints,
        ]

    def take_adamw_of_keras(self) -> None:
        """Replaces the optimizer with Keras's AdamW, from which it is derived."""
        import keras

        config = self.model.optimizer.get_config()
        optimizer = keras.optimizers.AdamW.from_config(config)
        optimizer.build(self.model.trainable_variables)
        self.model.optimizer = optimizer

    def tensorboard(self, directory: pathlib.Path, *, histograms: bool) -> Any:
        """Returns the callback of train.py for TensorBoard."""
        from zoo.training import tensorboard

        job = self.job(directory, histograms=histograms)
        return tensorboard.make_callback(job, self.model.steps_per_execution)

    def epoch(self, *callbacks: Any) -> float:
        """Trains the first epoch; returns its seconds."""
        self.batches.start_at(0)
        began = time.perf_counter()
        self.model.fit(
            self.batches.dataset, shuffle=False, verbose=0, callbacks=[*callbacks]
        )
        return time.perf_counter() - began


def prepare(
    model_name: str, steps: str, batch_size: str, recipe_name: str, variant: str
):
    """Returns a function that trains ``steps`` steps and returns the seconds.

    Args:
        model_name: name of the architecture.
        steps: steps per epoch.
        batch_size: examples in a batch.
        recipe_name: name of the recipe.
        variant: ``augmented``, the recipe as it is; ``plain``, without augmentation
            and dropout; or ``keras_optimizer``, plain with Keras's AdamW.
    """
    training = Training(
        model_name,
        recipe_name,
        steps=int(steps),
        batch_size=int(batch_size),
        plain=variant != "augmented",
    )
    if variant == "keras_optimizer":
        training.take_adamw_of_keras()
    directory = tempfile.TemporaryDirectory()
    progress, keepers = training.keepers(
        pathlib.Path(directory.name), backup_steps=_NEVER
    )

    def work() -> float:
        assert directory  # keeps the directory until the process ends
        progress.step = 0
        progress.rows.clear()
        return training.epoch(*keepers)

    return work
