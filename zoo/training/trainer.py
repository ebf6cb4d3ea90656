"""One training from beginning to end: build, fit, evaluate, write the run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import console, files, registry, startup
from zoo.data import cache, load, memory, pipeline
from zoo.data.builders import linear_regression
from zoo.data.dataset import Dataset
from zoo.errors import UserError
from zoo.models.base import TapeModel
from zoo.recipe import Recipe
from zoo.training import distribute, provenance, signals
from zoo.training.callbacks import Bookkeeper, Evaluation, state_copier
from zoo.training.config import Config
from zoo.training.job import Job
from zoo.training.rundir import RunDir
from zoo.training.tensorboard import TensorBoard, write_hyperparameters


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run_dir: where everything is.
        result: the content of result.json.
        dataset: what it was trained on.
        done_before: the run was finished already; nothing was done.
    """

    run_dir: pathlib.Path
    result: dict[str, Any]
    dataset: Dataset
    done_before: bool


def train(config: Config) -> Outcome | None:
    """Trains as asked, or goes on where an interrupted training stopped.

    Returns:
        How it ended; None in a worker that is not the chief.

    Raises:
        UserError: the request cannot be met; nothing has been written.
        RunError: the work failed; the last backup is as it was.
        Interrupted: a signal asked for a stop; a backup has been written.
    """
    config.check()
    recipe = registry.get_recipe(config.model, config.recipe)
    recipe = recipe.override(**config.overrides)
    placement = distribute.place(config.strategy)
    if config.run_dir:  # before the dataset is asked for, which may take a while
        _check_usable(RunDir(config.run_dir), placement)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with placement.guarded():
        choice = _choose_dataset(config)
        directory = RunDir(config.run_dir or _default_run_dir(config, choice))
        _check_usable(directory, placement)
        dataset = _load(config, recipe, choice)
        plan = pipeline.make_plan(recipe, dataset.spec.num_train)
        pipeline.Shard(*placement.rows).check(plan)
        _check_profiled(config, plan)
        job = Job(config, recipe, choice, dataset, plan, placement, directory)
        identity = json.dumps(job.identity(), sort_keys=True)
        placement.check_same("what they train", identity)
        model, copy = _make_models(job)
        if not placement.is_chief:
            placement.wait()  # until the run directory is claimed
            if not directory.finished:
                _fit(job, model, copy)
            return None
        with directory.locked():
            result = _train_as_chief(job, model, copy)
        return Outcome(directory.path, *result)


def _check_usable(directory: RunDir, placement: distribute.Placement) -> None:
    if placement.is_chief:
        directory.check_writable()
        directory.check_free()


def _check_profiled(config: Config, plan: pipeline.Plan) -> None:
    if config.profile_steps and config.profile_steps[0] > plan.steps:
        first, last = config.profile_steps
        raise UserError(
            f"--profile_steps must begin at a step of the training, 1 to {plan.steps}. "
            f"Received: {first},{last}."
        )


def _train_as_chief(
    job: Job, model: TapeModel, copy: TapeModel
) -> tuple[dict[str, Any], Dataset, bool]:
    """Returns the result, the dataset, and whether there was nothing to do."""
    directory = job.directory
    directory.claim(job.identity(), overwrite=job.config.overwrite)
    if directory.finished:
        directory.remove_backup()  # left if the process died right here
        job.placement.wait()
        return directory.read_result(), job.dataset, True
    files.write_json(directory.config, job.description())
    job.placement.wait()
    result = job.header(copy) | _fit(job, model, copy)
    with files.replacing(directory.model) as beside:
        copy.save(beside)
    directory.write_result(result)
    if job.config.tensorboard:
        write_hyperparameters(directory, job.hyperparameters())
    return result, job.dataset, False


def _make_models(job: Job) -> tuple[TapeModel, TapeModel]:
    """Returns the model to train, and the one to evaluate and to save.

    They are one where one device trains in float32.
    """
    config, recipe, plan = job.config, job.recipe, job.plan
    options = {
        "input_shape": job.dataset.spec.input_shape,
        "num_classes": job.dataset.spec.num_classes,
        "recipe": recipe,
        "steps": plan.steps,
        "steps_per_execution": min(recipe.steps_per_execution, plan.steps_per_epoch),
        "report_gradient_norm": config.gradient_norm,
    }
    jit_compile = distribute.jit_compile(config.jit_compile, job.placement)
    keras.utils.set_random_seed(config.seed)
    with job.placement.scope(), dtype_policy(config.precision):
        model = registry.create_model(config.model, jit_compile=jit_compile, **options)
    if job.placement.strategy:
        distribute.repair(model)
    elif config.precision == "float32":
        return model, model
    return model, registry.create_model(config.model, **options)


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Makes ``name`` the Keras dtype policy of what is made meanwhile."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _choose_dataset(config: Config) -> load.Choice:
    choice = load.resolve(
        config.dataset,
        default=registry.get_architecture(config.model).model_class.default_dataset,
        data_dir=config.data_dir,
    )
    if choice.reason:
        console.warn(
            f"{choice.requested} was not asked for by name and cannot be had "
            f"({choice.reason}): training on {choice.used} instead."
        )
    return choice


def _load(config: Config, recipe: Recipe, choice: load.Choice) -> Dataset:
    return load.load(
        choice.used,
        data_dir=config.data_dir,
        image_size=config.image_size,
        num_examples=recipe.num_examples,
        seed=config.seed,
        progress=_progress(config) == "bar",
        memory_limit=config.memory_limit or memory.available() // 2,
    )


def _fit(job: Job, model: TapeModel, copy: TapeModel) -> dict[str, Any]:
    """Trains to the end and evaluates the final weights."""
    config, plan = job.config, job.plan
    batches = pipeline.TrainingBatches(
        job.dataset.train,
        plan,
        job.recipe,
        seed=config.seed,
        op_determinism=config.deterministic,
        shard=pipeline.Shard(*job.placement.rows),
    )
    evaluation = pipeline.evaluation_batches(job.dataset.test)
    update = None if copy is model else state_copier(job.placement, model, copy)
    with signals.noticed() as stop:
        keeper = Bookkeeper(
            job.directory,
            plan,
            batches,
            job.dataset,
            stop=stop,
            backup_steps=config.backup_steps,
            again=_how_to_go_on(config),
            placement=job.placement,
        )
        if (step := keeper.restore(model)) and job.placement.is_chief:
            print(
                f"Resuming {job.directory.path} after step {step} of {plan.steps}.",
                flush=True,
            )
        callbacks = [keeper, *_tensorboard(job)]
        for first, last, data in _epochs(plan, step, batches):
            model.fit(
                job.placement.distribute(data),
                shuffle=False,  # the pipeline does it
                initial_epoch=first,
                epochs=last,
                verbose=_verbosity(job),
                **_evaluated(job, copy, evaluation, callbacks, update),
            )
        if update:
            update()
        tested = copy.evaluate(evaluation, verbose=0, return_dict=True)
        cache.check(job.dataset.test)
        keeper.check_finite(tested, keeper.rows[-1]["learning_rate"])
        keeper.stop_if_asked()
    trained = {key: keeper.rows[-1][key] for key in tested}
    result = {
        "epochs": plan.epochs,
        "steps": plan.steps,
        "train": trained,
        "test": tested,
        "train_seconds": round(keeper.seconds, 3),
        "examples_per_second": round(plan.examples_until(plan.steps) / keeper.seconds),
        "cpus": startup.cpus(),
        "versions": provenance.versions(),
    }
    if job.dataset.spec.task == "regression":
        result |= _compare_with_least_squares(copy, job.dataset)
    return result


def _evaluated(
    job: Job,
    copy: TapeModel,
    data: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    update: Callable[[], None] | None,
) -> dict[str, Any]:
    """Returns the arguments of fit that make it evaluate ``copy`` on ``data``.

    The first callback is the Bookkeeper, whose clock stands still meanwhile.
    """
    epochs, every = job.plan.epochs, job.config.eval_every
    if update is None:
        return {
            "validation_data": data,
            "validation_freq": _evaluated_epochs(epochs, every),
            "callbacks": [*callbacks],
        }

    def before() -> None:
        callbacks[0].on_test_begin()
        update()

    chosen = {*range(every, epochs + 1, every), epochs}
    return {"callbacks": [Evaluation(copy, data, chosen, before), *callbacks]}


def _tensorboard(job: Job) -> list[TensorBoard]:
    config = job.config
    if not (config.tensorboard and job.placement.is_chief):
        return []
    callback = TensorBoard(
        job.directory,
        steps_per_epoch=job.plan.steps_per_epoch,
        histograms=config.histograms,
        profile_steps=config.profile_steps,
    )
    return [callback]


def _epochs(
    plan: pipeline.Plan, step: int, batches: pipeline.TrainingBatches
) -> Iterator[tuple[int, int, tf.data.Dataset]]:
    """Yields first epoch, last epoch and batches of what is left after ``step``."""
    done, begun = divmod(step, plan.steps_per_epoch)
    if begun:
        yield done, done + 1, batches.take(plan.steps_per_epoch - begun)
        done += 1
    if done < plan.epochs:
        yield done, plan.epochs, batches.dataset


def _evaluated_epochs(epochs: int, every: int) -> list[int] | int:
    if epochs % every == 0:
        return every
    # The last one always, so that metrics.csv ends with the final weights.
    return sorted({*range(every, epochs + 1, every), epochs})


def _compare_with_least_squares(model: TapeModel, dataset: Dataset) -> dict[str, Any]:
    x, y = dataset.train.x[:, 0], dataset.train.y[:, 0]
    design = np.stack([x, np.ones_like(x)], axis=1).astype(np.float64)
    (weight, bias), *_ = np.linalg.lstsq(design, y.astype(np.float64), rcond=None)
    learned = model.line()
    return {
        "learned": {"weight": learned[0], "bias": learned[1]},
        "true": {"weight": linear_regression.WEIGHT, "bias": linear_regression.BIAS},
        "least_squares": {"weight": float(weight), "bias": float(bias)},
    }


def _default_run_dir(config: Config, choice: load.Choice) -> pathlib.Path:
    parts = [config.model, config.recipe, choice.name]
    if config.recipe == "default":
        parts.remove("default")
    return pathlib.Path("runs") / "-".join(parts)


def _how_to_go_on(config: Config) -> str:
    without = ", without --overwrite," if config.overwrite else ""
    return f"Run the same command again{without} to go on."


def _verbosity(job: Job) -> int:
    if not job.placement.is_chief:
        return 0
    return {"bar": 1, "epoch": 2, "none": 0}[_progress(job.config)]


def _progress(config: Config) -> str:
    if config.progress == "auto":
        return "bar" if sys.stdout.isatty() else "none"
    return config.progress
