"""A training that is about to begin, and the records in its run directory."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import shlex
import subprocess
import sys
from typing import Any

import keras
import tensorflow as tf

from zoo import startup
from zoo.data.dataset import Dataset
from zoo.data.load import Source
from zoo.data.pipeline import Plan
from zoo.models.base import TapeModel
from zoo.pretrained import Origin
from zoo.recipe import Recipe
from zoo.records.rundir import RunDir
from zoo.training.config import Config
from zoo.training.distribute import Placement


@dataclasses.dataclass(frozen=True)
class Job:
    """A training that is about to begin: all decisions before the model is created.

    ``origin`` describes its pretrained weights, if it has any. ``asked`` is the
    requested recipe with the overrides of ``config``; ``recipe`` is the same after it
    was fitted to the number of examples.
    """

    config: Config
    origin: Origin | None
    asked: Recipe
    recipe: Recipe
    source: Source
    dataset: Dataset
    plan: Plan
    placement: Placement
    run: RunDir

    def identity(self) -> dict[str, Any]:
        """Returns the settings that distinguish this run from others."""
        spec, settings = self.dataset.spec, self.recipe.to_json()
        del settings["steps_per_execution"]  # only affects the speed
        later: dict[str, Any] = {}  # settings that older versions lack, if used
        if self.config.class_weights != "none":
            later["class_weights"] = self.config.class_weights
        if self.origin:
            later["weights"] = {"name": self.origin.name, "sha256": self.origin.sha256}
            later |= self._asked("freeze")
        return {
            **self._asked("model", "recipe", "seed", "precision", "jit_compile"),
            **self._asked("validation", "eval_every", "gradient_norm", "deterministic"),
            "settings": settings,
            "dataset": spec.source,
            "dataset_fingerprint": spec.fingerprint,
            "input_shape": list(spec.input_shape),
            "num_classes": spec.num_classes,
            **later,
        }

    def fitted(self) -> dict[str, tuple[Any, Any]]:
        """Returns the settings that were fitted to few examples, as (old, new)."""
        names = ("batch_size", "learning_rate")
        both = {
            name: (getattr(self.asked, name), getattr(self.recipe, name))
            for name in names
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
            "image_size": self.config.image_size,
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

    def hyperparameters(self) -> dict[str, Any]:
        """Returns the settings by which TensorBoard compares runs."""
        settings = self.recipe.to_json()
        settings["model_arguments"] = settings.pop("model")
        asked = self._asked("model", "recipe", "seed", "precision")
        return settings | asked | {"dataset": self.source.name}

    def _asked(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.config, name) for name in names}


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
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
            cwd=pathlib.Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
        return done.stdout.strip() or None
    return None
