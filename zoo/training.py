"""One training from beginning to end: build, fit, evaluate, write the run."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo import files, interrupts, registry, report
from zoo.callbacks import Bookkeeper
from zoo.config import Config
from zoo.data import names, pipeline, sources
from zoo.data.builders import linear_regression
from zoo.data.spec import Dataset
from zoo.models.tape import TapeModel
from zoo.recipe import Recipe
from zoo.rundir import RunDir


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


def run(config: Config) -> Outcome:
    """Trains as asked, or goes on where an interrupted training stopped.

    Raises:
        UserError: the request cannot be met; nothing has been written.
        RunError: the work failed; the last backup is as it was.
        Interrupted: a signal asked for a stop; a backup has been written.
    """
    config.check()
    recipe = registry.get_recipe(config.model, config.recipe)
    recipe = recipe.override(**config.overrides)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    choice = _choose_dataset(config)
    directory = RunDir(config.run_dir or _default_run_dir(config, choice))
    directory.check_writable()
    directory.check_free()
    dataset = _load(config, recipe, choice)
    plan = pipeline.make_plan(recipe, dataset.spec.num_train)
    keras.utils.set_random_seed(config.seed)
    model = registry.create_model(
        config.model,
        input_shape=dataset.spec.input_shape,
        num_classes=dataset.spec.num_classes,
        recipe=recipe,
        steps=plan.steps,
        jit_compile=_jit_compile(config),
        steps_per_execution=min(recipe.steps_per_execution, plan.steps_per_epoch),
        report_gradient_norm=config.gradient_norm,
    )
    identity = _identity(config, recipe, dataset)
    with directory.locked():
        directory.claim(identity, overwrite=config.overwrite)
        if directory.finished:
            directory.remove_backup()  # left if the process died right here
            return Outcome(directory.path, directory.read_result(), dataset, True)
        files.write_json(directory.config, _describe(config, identity, choice, dataset))
        result = _fit(config, recipe, dataset, plan, model, directory)
        result = _header(config, choice, dataset, model) | result
        with files.replacing(directory.model) as beside:
            model.save(beside)
        directory.write_result(result)
        return Outcome(directory.path, result, dataset, False)


def _choose_dataset(config: Config) -> sources.Choice:
    choice = sources.resolve(
        config.dataset,
        default=registry.get_architecture(config.model).model_class.default_dataset,
        data_dir=config.data_dir,
    )
    if choice.reason:
        report.warn(
            f"{choice.requested} was not asked for by name and cannot be had "
            f"({choice.reason}): training on {choice.used} instead."
        )
    return choice


def _load(config: Config, recipe: Recipe, choice: sources.Choice) -> Dataset:
    return sources.load(
        choice.used,
        data_dir=config.data_dir,
        image_size=config.image_size,
        num_examples=recipe.num_examples,
        seed=config.seed,
        progress=_progress(config) == "bar",
    )


def _fit(
    config: Config,
    recipe: Recipe,
    dataset: Dataset,
    plan: pipeline.Plan,
    model: TapeModel,
    directory: RunDir,
) -> dict[str, Any]:
    """Trains to the end and evaluates the final weights."""
    batches = pipeline.TrainingBatches(
        dataset.train,
        plan,
        recipe,
        seed=config.seed,
        op_determinism=config.deterministic,
    )
    evaluation = pipeline.evaluation_batches(dataset.test)
    with interrupts.noticed() as stop:
        keeper = Bookkeeper(
            directory,
            plan,
            batches,
            stop=stop,
            backup_steps=config.backup_steps,
            again=_how_to_go_on(config),
        )
        if step := keeper.restore(model):
            print(
                f"Resuming {directory.path} after step {step} of {plan.steps}.",
                flush=True,
            )
        for first, last, data in _epochs(plan, step, batches.dataset):
            model.fit(
                data,
                shuffle=False,  # the pipeline does it
                initial_epoch=first,
                epochs=last,
                validation_data=evaluation,
                validation_freq=_evaluated_epochs(plan.epochs, config.eval_every),
                callbacks=[keeper],
                verbose={"bar": 1, "epoch": 2, "none": 0}[_progress(config)],
            )
        tested = model.evaluate(evaluation, verbose=0, return_dict=True)
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
        "versions": _versions(),
    }
    if dataset.spec.task == "regression":
        result |= _compare_with_least_squares(model, dataset)
    return result


def _epochs(
    plan: pipeline.Plan, step: int, dataset: tf.data.Dataset
) -> Iterator[tuple[int, int, tf.data.Dataset]]:
    """Yields first epoch, last epoch and batches of what is left after ``step``."""
    done, begun = divmod(step, plan.steps_per_epoch)
    if begun:
        yield done, done + 1, dataset.take(plan.steps_per_epoch - begun)
        done += 1
    if done < plan.epochs:
        yield done, plan.epochs, dataset


def _evaluated_epochs(epochs: int, every: int) -> list[int] | int:
    if epochs % every == 0:
        return every
    # The last one always, so that metrics.csv ends with the final weights.
    return sorted({*range(every, epochs + 1, every), epochs})


def _compare_with_least_squares(model: TapeModel, dataset: Dataset) -> dict[str, Any]:
    x, y = dataset.train.x[:, 0], dataset.train.y[:, 0]
    design = np.stack([x, np.ones_like(x)], axis=1).astype(np.float64)
    (weight, bias), *_ = np.linalg.lstsq(design, y.astype(np.float64), rcond=None)
    at_zero, at_one = model(tf.constant([[0.0], [1.0]])).numpy()[:, 0].astype(float)
    return {
        "learned": {"weight": at_one - at_zero, "bias": at_zero},
        "true": {"weight": linear_regression.WEIGHT, "bias": linear_regression.BIAS},
        "least_squares": {"weight": float(weight), "bias": float(bias)},
    }


def _header(
    config: Config, choice: sources.Choice, dataset: Dataset, model: TapeModel
) -> dict[str, Any]:
    return {
        "model": config.model,
        "recipe": config.recipe,
        "command": _command(),
        "dataset": choice.used,
        "dataset_requested": choice.requested,
        "dataset_reason": choice.reason,
        "seed": config.seed,
        "num_params": model.count_params(),
        "num_train_examples": dataset.spec.num_train,
        "num_test_examples": dataset.spec.num_test,
    }


def _identity(config: Config, recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """Returns what makes a run this run and no other."""
    spec = dataset.spec
    return {
        "model": config.model,
        "recipe": config.recipe,
        "settings": recipe.to_json(),
        "dataset": spec.source,
        "dataset_fingerprint": spec.fingerprint,
        "input_shape": list(spec.input_shape),
        "num_classes": spec.num_classes,
        "seed": config.seed,
        "jit_compile": config.jit_compile,
        "gradient_norm": config.gradient_norm,
        "eval_every": config.eval_every,
        "deterministic": config.deterministic,
    }


def _describe(
    config: Config,
    identity: dict[str, Any],
    choice: sources.Choice,
    dataset: Dataset,
) -> dict[str, Any]:
    """Returns the content of config.json."""
    local = names.is_directory(choice.used)
    return {
        "identity": identity,
        "dataset_requested": choice.requested,
        "dataset_used": dataset.spec.source if local else choice.used,
        "dataset_reason": choice.reason,
        "data": dataclasses.asdict(dataset.spec),
        "data_dir": config.data_dir and str(names.data_root(config.data_dir)),
        "image_size": config.image_size,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "git_commit": _git_commit(),
    }


def _command() -> str:
    program, *arguments = sys.argv
    return shlex.join(["python", pathlib.Path(program).name, *arguments])


def _versions() -> dict[str, str]:
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_datasets": tfds.__version__,
        "python": platform.python_version(),
    }


def _git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _default_run_dir(config: Config, choice: sources.Choice) -> pathlib.Path:
    parts = [config.model, config.recipe, choice.name]
    if config.recipe == "default":
        parts.remove("default")
    return pathlib.Path("runs") / "-".join(parts)


def _how_to_go_on(config: Config) -> str:
    without = ", without --overwrite," if config.overwrite else ""
    return f"Run the same command again{without} to go on."


def _jit_compile(config: Config) -> bool:
    if config.jit_compile == "auto":
        return bool(tf.config.list_physical_devices("GPU"))
    return config.jit_compile == "true"


def _progress(config: Config) -> str:
    if config.progress == "auto":
        return "bar" if sys.stdout.isatty() else "none"
    return config.progress
