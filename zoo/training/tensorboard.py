"""The logs of a run for TensorBoard, in the folder ``tensorboard`` of the run."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from zoo.training.job import Job


def make_callback(job: Job, steps_per_execution: int) -> keras.callbacks.TensorBoard:
    """Returns Keras's callback, which writes scalars, histograms and a profile.

    It profiles whole calls from Python, each of which runs ``steps_per_execution``
    steps.
    """
    calls_per_epoch = -(-job.plan.steps_per_epoch // steps_per_execution)

    def call_of(step: int) -> int:  # both count from 1
        epoch, index = divmod(step - 1, job.plan.steps_per_epoch)
        return epoch * calls_per_epoch + index // steps_per_execution + 1

    return keras.callbacks.TensorBoard(
        log_dir=job.run.tensorboard,
        histogram_freq=int(job.config.histograms),
        write_graph=False,
        profile_batch=tuple(map(call_of, job.config.profile_steps or ())) or 0,
    )


def write_hyperparameters(job: Job) -> None:
    """Writes the hyperparameters by which TensorBoard compares runs."""
    config, settings = job.config, job.recipe.to_json()
    settings |= {
        "model_arguments": settings["model"],
        "model": config.model,
        "recipe": config.recipe,
        "seed": config.seed,
        "precision": config.precision,
        "dataset": job.source.name,
    }
    simple = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in settings.items()
    }
    with tf.summary.create_file_writer(str(job.run.tensorboard)).as_default():
        hparams.hparams(simple, trial_id=job.run.path.name)
