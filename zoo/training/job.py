"""What is decided before a model is made, and how a run directory tells it."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from zoo.data import load, names, pipeline
from zoo.data.dataset import Dataset
from zoo.models.base import TapeModel
from zoo.recipe import Recipe
from zoo.training import distribute, provenance
from zoo.training.config import Config
from zoo.training.rundir import RunDir


@dataclasses.dataclass(frozen=True)
class Job:
    """A training that is about to begin."""

    config: Config
    recipe: Recipe
    choice: load.Choice
    dataset: Dataset
    plan: pipeline.Plan
    placement: distribute.Placement
    directory: RunDir

    def identity(self) -> dict[str, Any]:
        """Returns what makes a run this run and no other."""
        config, spec = self.config, self.dataset.spec
        return {
            "model": config.model,
            "recipe": config.recipe,
            "settings": self.recipe.to_json(),
            "dataset": spec.source,
            "dataset_fingerprint": spec.fingerprint,
            "input_shape": list(spec.input_shape),
            "num_classes": spec.num_classes,
            "seed": config.seed,
            "precision": config.precision,
            "jit_compile": config.jit_compile,
            "gradient_norm": config.gradient_norm,
            "eval_every": config.eval_every,
            "deterministic": config.deterministic,
        }

    def description(self) -> dict[str, Any]:
        """Returns the content of config.json."""
        config, choice, dataset = self.config, self.choice, self.dataset
        local = names.is_directory(choice.used)
        now = datetime.datetime.now(datetime.UTC)
        return {
            "identity": self.identity(),
            "strategy": self.placement.to_json(),
            "dataset_requested": choice.requested,
            "dataset_used": dataset.spec.source if local else choice.used,
            "dataset_reason": choice.reason,
            "data": dataclasses.asdict(dataset.spec),
            "data_dir": config.data_dir and str(names.data_root(config.data_dir)),
            "image_size": config.image_size,
            "started": now.isoformat(timespec="seconds"),
            "versions": provenance.versions(),
            "git_commit": provenance.git_commit(),
        }

    def header(self, model: TapeModel) -> dict[str, Any]:
        """Returns the beginning of result.json."""
        config, choice, dataset = self.config, self.choice, self.dataset
        return {
            "model": config.model,
            "recipe": config.recipe,
            "command": provenance.command(),
            "dataset": choice.used,
            "dataset_requested": choice.requested,
            "dataset_reason": choice.reason,
            "seed": config.seed,
            "strategy": self.placement.to_json(),
            "precision": config.precision,
            "num_params": model.count_params(),
            "num_train_examples": dataset.spec.num_train,
            "num_test_examples": dataset.spec.num_test,
        }

    def hyperparameters(self) -> dict[str, Any]:
        """Returns what runs are compared by in TensorBoard."""
        config, settings = self.config, self.recipe.to_json()
        settings["model_arguments"] = settings.pop("model")
        return settings | {
            "model": config.model,
            "recipe": config.recipe,
            "dataset": self.choice.name,
            "seed": config.seed,
            "precision": config.precision,
        }
