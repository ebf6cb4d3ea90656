"""model.fit as train.py runs it: pipeline, guard, callbacks, fused steps."""

from __future__ import annotations

import pathlib
import tempfile
import time
from typing import Any

from benchmarks import data
from zoo import startup

_NEVER = 10**9  # steps between backups


class Training:
    """A training of a recipe, an epoch at a time.

    Args:
        model_name: of the architecture.
        recipe_name: of its recipe.
        steps: of an epoch; None for a pass over the data.
        deterministic: with op determinism, for this whole process.
        plain: without augmentation and dropout, which the peers do not do.
        **overrides: of the recipe.
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
        """Returns the training as train.py decides it, with fields of its Config."""
        from zoo.training.config import Config
        from zoo.training.distribute import Placement
        from zoo.training.job import Job
        from zoo.training.rundir import RunDir

        return Job(
            Config(self.model.name, **fields),
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
        """Returns where the training stands, and the callbacks that train.py adds."""
        from zoo.training.callbacks import Checkpoints, MetricsLog, StepCounter
        from zoo.training.checkpoint import Progress
        from zoo.training.signals import Stop

        job, progress = self.job(directory, backup_steps=backup_steps), Progress()
        checkpoints = Checkpoints(job, self.model, progress, Stop())
        checkpoints.restore()
        return progress, [
            StepCounter(progress, self.plan, self.batches),
            MetricsLog(job, self.model, progress),
            checkpoints,
        ]

    def take_adamw_of_keras(self) -> None:
        """Replaces the optimizer by the one of Keras that it is derived from."""
        import keras

        config = self.model.optimizer.get_config()
        optimizer = keras.optimizers.AdamW.from_config(config)
        optimizer.build(self.model.trainable_variables)
        self.model.optimizer = optimizer

    def tensorboard(self, directory: pathlib.Path, *, histograms: bool) -> Any:
        """Returns the callback that train.py adds for TensorBoard."""
        from zoo.training.checkpoint import Progress
        from zoo.training.tensorboard import TensorBoard

        job = self.job(directory, histograms=histograms)
        return TensorBoard(job, Progress(), self.model.steps_per_execution)

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
    """Returns a function that trains ``steps`` steps and answers with the seconds.

    Args:
        model_name: of the architecture.
        steps: of an epoch.
        batch_size: of its batches.
        recipe_name: of its recipe.
        variant: ``augmented``, as the recipe has it; ``plain``, without augmentation
            and dropout; or ``keras_optimizer``: plain, with AdamW as Keras has it.
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
        assert directory  # removed with the process
        progress.step = 0
        progress.rows.clear()
        return training.epoch(*keepers)

    return work
