"""model.fit as train.py runs it: pipeline, watch, bookkeeping, fused steps."""

from __future__ import annotations

import pathlib
import time
from typing import Any

from benchmarks import data
from zoo import runtime


class Training:
    """A training of a recipe, an epoch at a time.

    Args:
        model_name: of the architecture.
        recipe_name: of its recipe.
        steps: of an epoch; None for a pass over the data.
        deterministic: with op determinism, for this whole process.
        **overrides: of the recipe.
    """

    def __init__(
        self,
        model_name: str,
        recipe_name: str = "default",
        *,
        steps: int | None = None,
        deterministic: bool = False,
        **overrides: Any,
    ):
        runtime.start()
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

    def keeper(self, directory: pathlib.Path) -> Any:
        """Returns the callback that train.py adds, at the beginning."""
        from zoo.callbacks import Bookkeeper
        from zoo.distribute import Placement
        from zoo.interrupts import Stop
        from zoo.rundir import RunDir

        keeper = Bookkeeper(
            RunDir(directory),
            self.plan,
            self.batches,
            self.dataset,
            stop=Stop(),
            backup_steps=None,
            again="",
            placement=Placement("one"),
        )
        keeper.restore(self.model)
        return keeper

    def tensorboard(self, directory: pathlib.Path, *, histograms: bool) -> Any:
        """Returns the callback that train.py adds for TensorBoard."""
        from zoo.rundir import RunDir
        from zoo.tensorboard import TensorBoard

        return TensorBoard(
            RunDir(directory),
            steps_per_epoch=self.plan.steps_per_epoch,
            histograms=histograms,
        )

    def epoch(self, *callbacks: Any) -> float:
        """Trains the first epoch; returns its seconds."""
        self.batches.start_at(0)
        began = time.perf_counter()
        self.model.fit(
            self.batches.dataset, shuffle=False, verbose=0, callbacks=[*callbacks]
        )
        return time.perf_counter() - began
