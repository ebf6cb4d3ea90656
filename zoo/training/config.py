"""The configuration of a run, checked as far as possible without TensorFlow."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from zoo import console, pretrained, registry
from zoo.data import load
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe
from zoo.training import cluster

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

    def check(self) -> None:
        """Checks names and numbers.

        Raises:
            UserError: a name or a number is not allowed.
        """
        registry.check_model(self.model)
        if self.weights is not None:
            pretrained.origin(self.model, self.weights)
        elif self.freeze not in (None, "none") or self.recipe == "finetune":
            raise UserError(
                "--freeze and --recipe=finetune need --weights: pretrained ones, such "
                "as --weights=cifar10, or a run directory. Received: none."
            )
        # The recipe needs TensorFlow. Here momentum is checked alone; it is checked
        # together with the recipe's optimizer later.
        fields = dict(self.overrides)
        if "momentum" in fields or "nesterov" in fields:
            fields.setdefault("optimizer", "sgd")
        if fields.get("nesterov"):
            fields.setdefault("momentum", 0.9)
        Recipe().override(**fields)
        load.data_root(self.data_dir)
        if self.dataset is not None:
            load.find(self.dataset, self.data_dir)
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
        cluster.several(self.strategy)


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
