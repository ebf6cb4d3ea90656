"""Runs one training: builds the model, fits, evaluates, writes the results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import console, files, pretrained, registry
from zoo.data import linear_regression, load, pipeline
from zoo.data.dataset import Dataset
from zoo.errors import RunError, UserError
from zoo.models.base import TapeModel
from zoo.recipe import Recipe
from zoo.records.rundir import RunDir
from zoo.runs import scoring
from zoo.runs.run import TrainedRun
from zoo.training import advice, distribute, signals
from zoo.training.callbacks import (
    Checkpoints,
    EpochLine,
    Evaluation,
    MetricsLog,
    StepCounter,
)
from zoo.training.checkpoint import Progress
from zoo.training.config import Config
from zoo.training.job import Job
from zoo.training.tensorboard import TensorBoard, write_hyperparameters


def train(config: Config) -> TrainedRun | None:
    """Trains a model, or resumes an interrupted training.

    Returns:
        The finished run; None in a worker that is not the chief.

    Raises:
        UserError: the configuration is impossible; nothing has been written.
        RunError: the training failed; the last backup is unchanged.
        Interrupted: a signal asked for a stop; a backup has been written.
    """
    config.check()
    recipe = registry.get_recipe(config.model, config.recipe)
    recipe = recipe.override(**config.overrides)
    placement = distribute.place(config.strategy)
    if config.run_dir and placement.is_chief:  # before a dataset is downloaded
        RunDir(config.run_dir).check_usable()
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with placement.guarded():
        job = _prepare(config, recipe, placement)
        identity = json.dumps(job.identity(), sort_keys=True)
        placement.check_same("what they train", identity)
        advice.give(job)
        model, copy = _make_models(job)
        if placement.is_chief:
            with job.run.locked():
                return _train_as_chief(job, model, copy)
        placement.wait()  # until the run directory is claimed
        if not job.run.finished:
            _fit(job, model, copy)
        return None


def _prepare(config: Config, recipe: Recipe, placement: distribute.Placement) -> Job:
    """Opens and reads the dataset; decides everything that depends on it."""
    source = _find(config)
    if source.reason:
        console.warn(
            f"The default dataset {source.requested} is not available "
            f"({source.reason}): training on {source.used} instead."
        )
    name = [config.model, config.recipe, source.name]
    if config.recipe == "default":
        del name[1]
    run = RunDir(config.run_dir or f"runs/{'-'.join(name)}")
    if placement.is_chief:
        run.check_usable()
    origin = pretrained.origin(config.model, config.weights) if config.weights else None
    shape = (origin and origin.input_shape) or ()
    if len(shape) == 3 and config.image_size is None:
        config = dataclasses.replace(config, image_size=(shape[0], shape[1]))
    dataset = source.read(
        image_size=config.image_size,
        num_examples=recipe.num_examples,
        seed=config.seed,
        progress=config.shown == "bar",
        skip_damaged=config.skip_damaged,
    )
    if config.class_weights != "none" and dataset.spec.task != "classification":
        raise UserError(
            "--class_weights is for datasets with classes. Received: "
            f"--class_weights={config.class_weights} for {source.used}. Leave it out."
        )
    if config.validation is not None:
        dataset = dataset.hold_out(config.validation, config.seed)
    num_train, asked = dataset.spec.num_train, recipe
    if source.is_tree:
        recipe = pipeline.fit_to(recipe, num_train, config.overrides)
    plan = pipeline.make_plan(recipe, num_train, placement.replicas)
    if config.profile_steps and config.profile_steps[0] > plan.steps:
        first, last = config.profile_steps
        raise UserError(
            f"--profile_steps must begin at a step of the training, 1 to {plan.steps}. "
            f"Received: {first},{last}."
        )
    return Job(config, origin, asked, recipe, source, dataset, plan, placement, run)


def _find(config: Config) -> load.Source:
    """Finds the dataset that was asked for, or the default of the model."""
    if config.dataset is None:
        model_class = registry.get_architecture(config.model).model_class
        return load.find_default(model_class.default_dataset, config.data_dir)
    source = load.find(config.dataset, config.data_dir)
    try:
        source.open()
    except load.Unreachable as error:
        raise RunError(
            f"{error} Or use --dataset=digits or a local directory: no network is "
            "needed."
        ) from None
    return source


def _train_as_chief(job: Job, model: TapeModel, copy: TapeModel) -> TrainedRun:
    run = job.run
    run.claim(
        job.identity(),
        overwrite=job.config.overwrite,
        is_same_data=job.dataset.spec.fingerprint.__eq__,
    )
    if run.finished:
        run.remove_backup()  # it remains if the process died at this point
        _follow_moved_data(job)
        job.placement.wait()
        return TrainedRun(run, dataset=job.dataset, done_before=True)
    files.write_json(run.config, job.description())
    job.placement.wait()
    result, outputs = _fit(job, model, copy)
    with files.replacing(run.model) as beside:
        copy.save(beside)
    files.write_json(run.result, job.header(copy) | result)  # the run is now finished
    run.remove_backup()
    if job.config.tensorboard:
        write_hyperparameters(run, job.hyperparameters())
    return TrainedRun(run, dataset=job.dataset, model=copy, outputs=outputs)


def _follow_moved_data(job: Job) -> None:
    """Updates the place of moved data in config.json, for evaluations and exports."""
    recorded, place = job.run.read_config(), job.dataset.spec.source
    if job.source.directory and recorded["dataset_used"] != place:
        now = job.description()
        moved = {key: now[key] for key in ("dataset_used", "data_dir")}
        files.write_json(job.run.config, recorded | moved)


def _make_models(job: Job) -> tuple[TapeModel, TapeModel]:
    """Returns the model to train, and the one to evaluate and to save.

    They are the same model if one device trains in float32.
    """
    config, recipe, plan = job.config, job.recipe, job.plan
    spec, origin = job.dataset.spec, job.origin
    options: dict[str, Any] = {
        "weights": config.weights,
        "freeze": config.freeze,
        # Other classes get a new head, even if their number is the same.
        "new_head": origin is not None and origin.class_names != spec.class_names,
        "input_shape": spec.input_shape,
        "num_classes": spec.num_classes,
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
    """Makes ``name`` the Keras dtype policy within the context."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _fit(
    job: Job, model: TapeModel, copy: TapeModel
) -> tuple[dict[str, Any], np.ndarray]:
    """Trains to the end; returns the results and the outputs for the test split."""
    plan, dataset, placement = job.plan, job.dataset, job.placement
    batches = pipeline.TrainingBatches(
        dataset.train,
        plan,
        job.recipe,
        seed=job.config.seed,
        op_determinism=job.config.deterministic,
        replicas=placement.rows,
        class_weights=(
            None
            if job.config.class_weights == "none"
            else dataset.train.balanced_weights(len(dataset.spec.class_names))
        ),
    )
    evaluation = Evaluation(job, model, copy)
    with signals.noticed() as stop:
        progress = Progress()
        checkpoints = Checkpoints(job, model, progress, stop)
        if (step := checkpoints.restore()) and placement.is_chief:
            where = f"after step {step} of {plan.steps}"
            print(f"Resuming {job.run.path} {where}.", flush=True)
        log = MetricsLog(job, model, progress)
        callbacks = [StepCounter(progress, plan, batches), evaluation, log]
        if job.config.tensorboard and placement.is_chief:
            callbacks.append(TensorBoard(job, progress, model.steps_per_execution))
        if job.config.shown == "epoch" and placement.is_chief:
            callbacks.append(EpochLine(progress, plan.epochs))
        callbacks.append(checkpoints)
        for first, last, data in _epochs(plan, step, batches):
            model.fit(
                placement.distribute(data),
                shuffle=False,  # the pipeline shuffles
                initial_epoch=first,
                epochs=last,
                verbose=int(job.config.shown == "bar" and placement.is_chief),
                callbacks=callbacks,
            )
        tested, outputs = evaluation.test()
        log.check_finite(tested)
        checkpoints.stop_if_asked()
    results = _results(job, progress, tested, copy)
    if dataset.spec.task == "classification":
        names = dataset.spec.class_names
        results |= scoring.per_class(names, dataset.test.y, outputs)
    return results, outputs


def _results(
    job: Job, progress: Progress, tested: dict[str, float], model: TapeModel
) -> dict[str, Any]:
    """Returns the part of result.json that comes from the training."""
    last, seconds = progress.rows[-1], progress.seconds
    result = {
        "train": {name: last[name] for name in tested},
        "test": tested,
        "train_seconds": round(seconds, 3),
        "examples_per_second": round(
            job.plan.examples_until(int(last["step"])) / seconds
        ),
    }
    if validation := job.dataset.validation:
        result["num_validation_examples"] = len(validation.y)
        result["validation"] = {name: last[f"val_{name}"] for name in tested}
    if job.dataset.spec.task == "regression":
        result |= _compare_with_least_squares(model, job.dataset)
    return result


def _epochs(
    plan: pipeline.Plan, step: int, batches: pipeline.TrainingBatches
) -> Iterator[tuple[int, int, tf.data.Dataset]]:
    """Yields first epoch, last epoch and batches of the fits after ``step``."""
    done, begun = divmod(step, plan.steps_per_epoch)
    if begun:
        yield done, done + 1, batches.take(plan.steps_per_epoch - begun)
        done += 1
    if done < plan.epochs:
        yield done, plan.epochs, batches.dataset


def _compare_with_least_squares(model: TapeModel, dataset: Dataset) -> dict[str, Any]:
    x, y = dataset.train.x[:][:, 0], dataset.train.y[:, 0]
    weight, bias = np.polyfit(x.astype(np.float64), y.astype(np.float64), deg=1)
    learned = model.line()
    return {
        "learned": {"weight": learned[0], "bias": learned[1]},
        "true": {"weight": linear_regression.WEIGHT, "bias": linear_regression.BIAS},
        "least_squares": {"weight": float(weight), "bias": float(bias)},
    }
