"""Runs one training: builds the model, fits, evaluates, writes the results."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import files
from zoo.data import pipeline
from zoo.models import build
from zoo.models.base import TapeModel
from zoo.runs import scoring
from zoo.runs.run import Run
from zoo.training import advice, distribute, head, signals
from zoo.training.callbacks import (
    Checkpoints,
    Evaluation,
    MetricsLog,
    StepCounter,
)
from zoo.training.checkpoint import Progress
from zoo.training.config import Config, Found, find
from zoo.training.job import Job, resolve
from zoo.training.tensorboard import make_callback, write_hyperparameters


def train(request: Config | Found) -> Run | None:
    """Trains a model, or resumes an interrupted training.

    Args:
        request: what to train; or what was found of it, see ``zoo.training.config``.

    Returns:
        The finished run; None in a worker that is not the chief.

    Raises:
        UserError: the request is impossible; nothing has been written.
        RunError: the training failed; the last backup is unchanged.
        Interrupted: a signal asked for a stop; a backup has been written.
    """
    found = find(request) if isinstance(request, Config) else request
    placement = distribute.place(found.config.strategy, found.cluster)
    if found.config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with placement.guarded():
        job = resolve(found, placement)
        identity = json.dumps(job.identity(), sort_keys=True)
        placement.check_same("what they train", identity)
        advice.check(job)
        model, copy = _make_models(job)
        advice.give(job, copy)
        if placement.is_chief:
            with job.run.locked():
                return _train_as_chief(job, model, copy)
        placement.wait()  # until the run directory is claimed
        if not job.run.finished:
            _fit(job, model, copy)
        return None


def _train_as_chief(job: Job, model: TapeModel, copy: TapeModel) -> Run:
    run = job.run
    run.claim(job.identity(), overwrite=job.config.overwrite)
    if run.finished:
        run.remove_backup()  # it remains if the process died at this point
        _follow_moved_data(job)
        job.placement.wait()
        return Run(run, dataset=job.dataset, done_before=True)
    files.write_json(run.config, job.description())
    job.placement.wait()
    result, outputs = _fit(job, model, copy)
    with files.replacing(run.model) as beside:
        copy.save(beside)
    files.write_json(run.result, job.header(copy) | result)  # the run is now finished
    run.remove_backup()
    if job.config.tensorboard:
        write_hyperparameters(job)
    return Run(run, dataset=job.dataset, model=copy, outputs=outputs)


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
    config, plan, spec = job.config, job.plan, job.dataset.spec
    keras.utils.set_random_seed(config.seed)
    new_head = False
    if job.weights:
        # Other classes get a new head, even if their number is the same.
        new_head = job.weights.class_names != spec.class_names
    make = functools.partial(
        build.make_model,
        job.architecture,
        job.recipe,
        job.given,
        input_shape=spec.input_shape,
        num_classes=spec.num_classes,
        new_head=new_head,
        freeze=config.freeze,
        steps=plan.steps,
        steps_per_execution=min(job.recipe.steps_per_execution, plan.steps_per_epoch),
        report_gradient_norm=config.gradient_norm,
    )
    jit_compile = distribute.jit_compile(config.jit_compile, job.placement)
    with job.placement.scope(), dtype_policy(config.precision):
        model = make(jit_compile=jit_compile)
    if job.placement.strategy:
        distribute.repair(model)
    elif config.precision == "float32":
        return model, model
    return model, make()


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
        class_weights=job.class_weights(),
    )
    evaluation = Evaluation(job, model, copy)
    with signals.noticed() as stop:
        progress = Progress()
        checkpoints = Checkpoints(job, model, progress, stop)
        if job.recipe.head_first and placement.is_chief:
            head.fit(job, copy, stop)
        if (step := checkpoints.restore()) and placement.is_chief:
            where = f"after step {step} of {plan.steps}"
            print(f"Resuming {job.run.path} {where}.", flush=True)
        log = MetricsLog(job, progress)
        if job.recipe.head_first and not progress.rows:
            values = head.take_over(job, model)
            progress.seconds = values.pop("seconds")
            scores = evaluation.scores(is_last=not plan.steps)
            log.add(0, 0.0, values | scores)
        callbacks = [StepCounter(progress, plan, batches), evaluation, log]
        if job.config.tensorboard and placement.is_chief:
            callbacks.append(make_callback(job, model.steps_per_execution))
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
        checkpoints.decide(epoch_ends=True)
    results = _results(job, progress, tested, copy)
    if dataset.spec.task == "classification":
        names = dataset.spec.class_names
        results |= scoring.per_class(names, dataset.test.y, outputs)
    return results, outputs


def _results(
    job: Job, progress: Progress, tested: dict[str, float], model: TapeModel
) -> dict[str, Any]:
    """Returns the part of result.json that comes from the training."""
    first, last, seconds = progress.rows[0], progress.rows[-1], progress.seconds
    # The fitting of a head counts as epoch 0, and is all if only the head is trained.
    before = first["seconds"] if job.plan.steps and first["epoch"] == 0 else 0
    examples = job.plan.examples_until(int(last["step"])) or job.plan.num_examples
    result = {
        "train": {name: last[name] for name in tested},
        "test": tested,
        "train_seconds": round(seconds, 3),
        "examples_per_second": round(examples / (seconds - before)),
    }
    if validation := job.dataset.validation:
        result["num_validation_examples"] = len(validation.y)
        result["validation"] = {name: last[f"val_{name}"] for name in tested}
    return result | model.extra_results(job.dataset.train)


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
