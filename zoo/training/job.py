"""A training that is about to begin, and the records in its run directory."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import shlex
import signal
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import console, registry, startup
from zoo.data import load, pipeline
from zoo.data.dataset import Dataset
from zoo.data.pipeline import Plan
from zoo.data.source import Source, Unreachable
from zoo.errors import Interrupted, RunError, UserError
from zoo.models import transfer
from zoo.models.base import TapeModel
from zoo.recipe import Recipe
from zoo.records.rundir import RunDir
from zoo.records.weights import Weights
from zoo.training.config import SIDE, Config, Found
from zoo.training.distribute import Placement


@dataclasses.dataclass(frozen=True)
class Job:
    """A training that is about to begin: all decisions before the model is created.

    Attributes:
        config: the request.
        architecture: the architecture to train.
        original: the recipe as the architecture has it.
        recipe: the same with the overrides of ``config``, fitted to few examples.
        weights: the pretrained weights, if there are any.
        given: the model that has them.
        source: where the dataset comes from.
        dataset: the dataset.
        image_size: (height, width) to which images are resized; None for their own.
        plan: the numbers of steps.
        placement: the devices.
        run: the run directory.
    """

    config: Config
    architecture: registry.Architecture
    original: Recipe
    recipe: Recipe
    weights: Weights | None
    given: TapeModel | None
    source: Source
    dataset: Dataset
    image_size: tuple[int, int] | None
    plan: Plan
    placement: Placement
    run: RunDir

    def identity(self) -> dict[str, Any]:
        """Returns the settings that distinguish this run from others."""
        spec, settings = self.dataset.spec, self.recipe.to_json()
        del settings["steps_per_execution"]  # only affects the speed
        given = None
        if self.weights:
            given = {"name": self.weights.name, "sha256": self.weights.sha256}
        return {
            **self._asked("model", "recipe", "seed", "precision", "jit_compile"),
            **self._asked("validation", "eval_every", "gradient_norm", "deterministic"),
            **self._asked("class_weights", "freeze", "resize"),
            "settings": settings,
            "weights": given,
            "dataset": spec.source,
            "dataset_fingerprint": spec.fingerprint,
            "input_shape": list(spec.input_shape),
            "num_classes": spec.num_classes,
        }

    def class_weights(self) -> np.ndarray | None:
        """Returns the weight of each class in the loss; None for equal weights."""
        if self.config.class_weights == "none":
            return None
        return self.dataset.train.balanced_weights(len(self.dataset.spec.class_names))

    def interrupted(self, number: int, where: str) -> Interrupted:
        """Returns the error of a signal that came after a part of the work."""
        without = ", without --overwrite," if self.config.overwrite else ""
        return Interrupted(
            f"Stopped by {signal.Signals(number).name} after {where}; a backup is in "
            f"{self.run.backup}. Run the same command again{without} to resume.",
            number,
        )

    def fitted(self) -> dict[str, tuple[Any, Any]]:
        """Returns the settings that were fitted to few examples, as (old, new)."""
        both = {
            name: (getattr(self.original, name), getattr(self.recipe, name))
            for name in ("batch_size", "learning_rate")
            if name not in self.config.overrides
        }
        return {name: pair for name, pair in both.items() if pair[0] != pair[1]}

    def description(self) -> dict[str, Any]:
        """Returns the content of config.json."""
        source, spec = self.source, self.dataset.spec
        now = datetime.datetime.now(datetime.UTC)
        images = spec.task == "classification"
        return {
            "identity": self.identity(),
            "fitted_to_few_examples": self.fitted(),
            "strategy": self.placement.to_json(),
            "steps_per_execution": self.recipe.steps_per_execution,
            "dataset_requested": source.requested,
            "dataset_used": spec.source if source.directory else source.used,
            "dataset_reason": source.reason,
            "data": dataclasses.asdict(spec),
            "brightness": self.dataset.train.brightness() if images else None,
            "skip_damaged": self.config.skip_damaged,
            "data_dir": self.config.data_dir and str(source.root),
            "image_size": self.image_size,
            "started": now.isoformat(timespec="seconds"),
            "versions": _versions(),
            "git_commit": _git_commit(),
        }

    def header(self, model: TapeModel) -> dict[str, Any]:
        """Returns the beginning of result.json."""
        program, *arguments = sys.argv
        return {
            **self._asked("model", "recipe", "seed", "precision"),
            "command": shlex.join(["python", pathlib.Path(program).name, *arguments]),
            "dataset": self.source.used,
            "dataset_requested": self.source.requested,
            "dataset_reason": self.source.reason,
            "strategy": self.placement.to_json(),
            "cpus": startup.cpus(),
            "versions": _versions(),
            "num_params": model.count_params(),
            "num_train_examples": self.dataset.spec.num_train,
            "num_test_examples": self.dataset.spec.num_test,
            "epochs": self.plan.epochs,
            "steps": self.plan.steps,
        }

    def _asked(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.config, name) for name in names}


def resolve(found: Found, placement: Placement) -> Job:
    """Decides everything that is left, and reads the dataset. Writes no run."""
    config = found.config
    architecture = registry.get_architecture(config.model)
    original = registry.get_recipe(config.model, config.recipe)
    if found.weights is None:
        original = original.from_scratch()
    recipe = original.override(**config.overrides)
    try:
        source = found.source or _default_source(config, placement)
        source.open()
    except Unreachable as error:
        raise RunError(
            f"{error} Or use --dataset=digits or a local directory: no network is "
            "needed."
        ) from error
    name = [config.model, config.recipe, source.name]
    if config.recipe == "default":
        del name[1]
    run = RunDir(config.run_dir or f"runs/{'-'.join(name)}")
    path = found.weights.path if found.weights else None
    if path and path.absolute() == run.model.absolute():
        raise UserError(
            f"--weights and --run_dir are the same run, {run.path}. Choose another "
            "--run_dir for the new one."
        )
    if placement.is_chief:  # before a dataset is downloaded
        run.check_usable()
    image_size, largest, given = config.image_size, None, None
    if weights := found.weights:  # before the dataset is read, which may take minutes
        side = max(image_size or (SIDE,))
        given = transfer.load(architecture, weights, side)
        shape = weights.input_shape or ()
        if weights.published:
            largest = SIDE
        elif len(shape) == 3 and image_size is None:
            image_size = (shape[0], shape[1])
    dataset = source.read(
        image_size=image_size,
        largest=largest,
        resize=config.resize,
        num_examples=recipe.num_examples,
        seed=config.seed,
        progress=config.shown == "bar",
        skip_damaged=config.skip_damaged,
    )
    if largest:
        image_size = dataset.spec.input_shape[0], dataset.spec.input_shape[1]
    if config.class_weights != "none" and dataset.spec.task != "classification":
        raise UserError(
            "--class_weights is for datasets with classes. Received: "
            f"--class_weights={config.class_weights} for {source.used}. Leave it out."
        )
    if config.validation is not None:
        dataset = dataset.hold_out(config.validation, config.seed)
    num_train = dataset.spec.num_train
    if source.is_tree:
        recipe = pipeline.fit_to(recipe, num_train, config.overrides)
    plan = pipeline.make_plan(recipe, num_train, placement.replicas)
    if recipe.head_first and given and config.freeze == given.head_name:
        plan = dataclasses.replace(plan, epochs=0)  # the first stage is all
    if config.profile_steps and config.profile_steps[0] > plan.steps:
        first, last = config.profile_steps
        raise UserError(
            f"--profile_steps must begin at a step of the training, 1 to {plan.steps}. "
            f"Received: {first},{last}."
        )
    return Job(
        config=config,
        architecture=architecture,
        original=original,
        recipe=recipe,
        weights=found.weights,
        given=given,
        source=source,
        dataset=dataset,
        image_size=image_size,
        plan=plan,
        placement=placement,
        run=run,
    )


def _default_source(config: Config, placement: Placement) -> Source:
    """Finds the dataset that the architecture is meant for, and says which it is."""
    default = registry.default_dataset(config.model)
    if placement.is_chief and config.shown != "none":
        others = ", such as mnist" if default == "linear_regression" else ""
        print(
            f"The dataset is {default}, the default of {config.model}; --dataset "
            f"chooses another{others}.",
            flush=True,
        )
    source = load.find_default(default, config.data_dir)
    if source.reason:
        console.warn(
            f"The default dataset {default} is not available ({source.reason}): "
            f"training on {source.used} instead."
        )
    return source


def _versions() -> dict[str, str]:
    """Returns the versions of the software that affects the results of a run."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_datasets": importlib.metadata.version("tensorflow-datasets"),
        "python": platform.python_version(),
    }


def _git_commit() -> str | None:
    """Returns the Git commit of the project; None outside of a repository."""
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    folder = pathlib.Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:  # there is no git
        return None
    return done.stdout.strip() or None
