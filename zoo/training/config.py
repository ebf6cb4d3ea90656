"""A request to train, and what it names. Needs no TensorFlow."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from zoo import console, registry
from zoo.data import load
from zoo.data.load import Source
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe
from zoo.records import weights
from zoo.records.weights import Weights
from zoo.training import cluster
from zoo.training.cluster import Cluster

#: The architecture that suits photographs of any size.
PHOTOGRAPHS = "resnet"
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
#: The allowed values of flags that take a word.
CHOICES = {
    "strategy": ("auto", "one", "mirrored", "multi_worker", "tpu"),
    "precision": PRECISIONS,
    "jit_compile": ("auto", "true", "false"),
    "progress": ("auto", "bar", "epoch", "none"),
    "class_weights": ("none", "balanced"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """A request to train: the flags of ``train.py``, whose help explains them.

    None means that a flag is not given, or that it is ``auto`` if ``CHOICES`` does not
    list that word.

    Attributes:
        overrides: fields of the recipe to replace, with their values.
        image_size: (height, width) to which images are resized.
        profile_steps: the first and the last step to profile, from 1.
        validation: share of the training split, above 0 and below 1.
    """

    model: str
    recipe: str = "default"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dataset: str | None = None
    data_dir: str | None = None
    image_size: tuple[int, int] | None = None
    weights: str | None = None
    freeze: str | None = None
    skip_damaged: bool = False
    class_weights: str = "none"
    run_dir: str | None = None
    overwrite: bool = False
    seed: int = 0
    jit_compile: str = "auto"
    gradient_norm: bool = False
    eval_every: int = 1
    validation: float | None = None
    backup_steps: int | None = None
    deterministic: bool = False
    strategy: str = "auto"
    precision: str = "float32"
    tensorboard: bool = True
    histograms: bool = False
    profile_steps: tuple[int, int] | None = None
    progress: str = "auto"

    @property
    def shown(self) -> str:
        """What to print while training: ``bar``, ``epoch`` or ``none``."""
        if self.progress == "auto":
            if console.is_terminal():
                return "bar"
            return "epoch" if sys.stdout else "none"
        return self.progress

    def __post_init__(self) -> None:
        Recipe.check_fields(self.overrides)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        for name in ("eval_every", "backup_steps"):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, int) and number >= 1):
                raise UserError(
                    f"--{name} must be a whole number, 1 or more. Received: {number}."
                )
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be 0 to 2**31 - 1. Received: {self.seed}.")
        if self.run_dir == "":
            raise UserError("--run_dir is empty. Leave it out for runs/MODEL-DATASET.")
        # This form rejects NaN too, because NaN fails every comparison.
        if self.validation is not None and not 0 < self.validation < 1:
            raise UserError(
                "--validation must be a share of the training split, above 0 and below "
                f"1. Received: {self.validation}."
            )
        if (self.histograms or self.profile_steps) and not self.tensorboard:
            raise UserError(
                "--histograms and --profile_steps are for TensorBoard. Received: "
                "--notensorboard. Leave it out."
            )


@dataclasses.dataclass(frozen=True)
class Found:
    """What a request names, before TensorFlow is started.

    Attributes:
        config: the request.
        source: the dataset; None for the default of the architecture.
        weights: the pretrained weights, if there are any.
        cluster: the workers that share the training; None for this process alone.
    """

    config: Config
    source: Source | None
    weights: Weights | None
    cluster: Cluster | None


def find(config: Config) -> Found:
    """Finds what a request names. Needs no TensorFlow and writes nothing.

    Raises:
        UserError: a name is unknown, or things do not go together.
    """
    registry.check_model(config.model)
    found = None
    if config.weights is not None:
        found = weights.find(config.model, config.weights)
    elif config.freeze not in (None, "none") or config.recipe == "finetune":
        raise UserError(
            "--freeze and --recipe=finetune need --weights: pretrained ones, such as "
            "--weights=cifar10, or a run directory. Received: none."
        )
    source = None
    if config.dataset is not None:
        source = load.find(config.dataset, config.data_dir)
    return Found(config, source, found, cluster.find(config.strategy))


def _parse(
    flag: str, text: str, pattern: str, read: Callable[..., Any], expected: str
) -> Any:
    """Returns ``read`` of the pattern's groups; raises UserError if that fails."""
    match = re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE)
    if match and (value := read(*match.groups())):
        return value
    raise UserError(f"--{flag} must be {expected}. Received: {text[:80]}.")


def parse_steps_per_execution(text: str) -> int | None:
    """Reads a number of steps; ``auto`` gives None, the recipe's number."""
    if text == "auto":
        return None
    expected = "a whole number, 1 or more, or auto"
    return _parse("steps_per_execution", text, r"(\d{1,15})", int, expected)


def parse_profile_steps(text: str | None) -> tuple[int, int] | None:
    """Reads ``10,20``: the first and the last step to profile."""

    def read(*steps: str) -> tuple[int, int] | None:
        first, last = map(int, steps)
        return (first, last) if 1 <= first <= last else None

    if text is None:
        return None
    expected = "the first and the last step to profile, from 1, such as 10,20"
    return _parse("profile_steps", text, r"(\d{1,15}),(\d{1,15})", read, expected)


def parse_image_size(text: str | None) -> tuple[int, int] | None:
    """Reads ``32`` or ``28x40`` (height x width) as pixels."""

    def read(height: str, width: str | None) -> tuple[int, int] | None:
        size = int(height), int(width or height)
        return size if all(1 <= side <= 4096 for side in size) else None

    if text is None:
        return None
    expected = "SIZE or HEIGHTxWIDTH in pixels, 1 to 4096"
    return _parse("image_size", text, r"(\d{1,4})(?:x(\d{1,4}))?", read, expected)
