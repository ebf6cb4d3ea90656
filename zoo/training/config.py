"""What a run was asked for, checked as far as it can be without TensorFlow."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from typing import Any

from zoo import registry
from zoo.data import load
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe
from zoo.training import cluster

JIT_CHOICES = ("auto", "true", "false")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
PROGRESS_CHOICES = ("auto", "bar", "epoch", "none")


@dataclasses.dataclass(frozen=True)
class Config:
    """A request to train: the flags of ``train.py``, whose help explains them.

    None stands for a flag that is not given, or for its ``auto`` where that is no word
    of a list.

    Attributes:
        overrides: fields of the recipe that are replaced.
        image_size: (height, width) that images are resized to.
        memory_limit: bytes.
        profile_steps: the first and the last step to profile, from 1.
        validation: share of the training split, above 0 and below 1.
    """

    model: str
    recipe: str = "default"
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dataset: str | None = None
    data_dir: str | None = None
    image_size: tuple[int, int] | None = None
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
    memory_limit: int | None = None
    tensorboard: bool = True
    histograms: bool = False
    profile_steps: tuple[int, int] | None = None
    progress: str = "auto"

    @property
    def shown(self) -> str:
        """What is shown while training: ``bar``, ``epoch`` or ``none``."""
        if self.progress == "auto":
            return "bar" if sys.stdout.isatty() else "none"
        return self.progress

    def check(self) -> None:
        """Checks names and numbers.

        Raises:
            UserError: what is wrong, what was received, what is allowed.
        """
        registry.check_model(self.model)
        self._check_overrides()
        load.data_root(self.data_dir)
        if self.dataset is not None:
            load.check_name(self.dataset, self.data_dir)
        for name, known in (
            ("strategy", cluster.STRATEGIES),
            ("precision", PRECISIONS),
            ("jit_compile", JIT_CHOICES),
            ("progress", PROGRESS_CHOICES),
        ):
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        for name in ("eval_every", "backup_steps", "memory_limit"):
            number = getattr(self, name)
            if number is not None and not (isinstance(number, int) and number >= 1):
                raise UserError(
                    f"--{name} must be a whole number, 1 or more. Received: {number}."
                )
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be 0 to 2**31 - 1. Received: {self.seed}.")
        if self.run_dir == "":
            raise UserError("--run_dir is empty. Leave it out for runs/MODEL-DATASET.")
        # NaN fails every comparison.
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

    def _check_overrides(self) -> None:
        # The recipe itself is behind TensorFlow: momentum is checked by itself
        # here, and together with the recipe's optimizer later.
        fields = dict(self.overrides)
        if "momentum" in fields or "nesterov" in fields:
            fields.setdefault("optimizer", "sgd")
        if fields.get("nesterov"):
            fields.setdefault("momentum", 0.9)
        Recipe().override(**fields)


def parse_steps_per_execution(text: str | None) -> int | None:
    """Reads a number of steps; None, the recipe's, for ``auto``.

    Raises:
        UserError: it is neither.
    """
    if text in (None, "auto"):
        return None
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) < 1:
        raise UserError(
            "--steps_per_execution must be a whole number, 1 or more, or auto. "
            f"Received: {text[:80]}."
        )
    return int(text)


def parse_profile_steps(text: str | None) -> tuple[int, int] | None:
    """Reads ``10,20``: the first and the last step to profile.

    Raises:
        UserError: it is not two steps, 1 or more, in order.
    """
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,15}),([0-9]{1,15})", text)
    first, last = map(int, match.groups()) if match else (0, 0)
    if not 1 <= first <= last:
        raise UserError(
            "--profile_steps must be the first and the last step to profile, from 1, "
            f"such as 10,20. Received: {text}."
        )
    return first, last


def parse_memory_limit(text: str | None) -> int | None:
    """Reads bytes, such as ``8G`` or ``500M``; None for ``auto``.

    Raises:
        UserError: it is neither.
    """
    if text in (None, "auto"):
        return None
    match = re.fullmatch(r"(\d{1,20}\.?\d{0,20})([KMGT]?)B?", text.upper(), re.ASCII)
    units = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    size = float(match[1]) * units[match[2]] if match else 0.0
    if not 1 <= size < 1e18:
        raise UserError(
            "--memory_limit must be a number of bytes, such as 8G, 500M or 8000000000, "
            f"or auto. Received: {text[:80]}."
        )
    return int(size)


def parse_image_size(text: str | None) -> tuple[int, int] | None:
    """Reads ``32`` or ``28x40`` (height x width) as pixels.

    Raises:
        UserError: it is neither, or is not 1 to 4096 pixels.
    """
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,4})(?:[xX]([0-9]{1,4}))?", text)
    height, width = (
        (int(side or match[1]) for side in match.groups()) if match else (0, 0)
    )
    if not (1 <= height <= 4096 and 1 <= width <= 4096):
        raise UserError(
            "--image_size must be SIZE or HEIGHTxWIDTH in pixels, 1 to 4096. "
            f"Received: {text}."
        )
    return height, width
