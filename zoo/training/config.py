"""What a run was asked for, checked as far as it can be without TensorFlow."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from zoo import registry
from zoo.data import load, names
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe
from zoo.training import cluster
from zoo.training.cluster import STRATEGIES

JIT_CHOICES = ("auto", "true", "false")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
PROGRESS_CHOICES = ("auto", "bar", "epoch", "none")


@dataclasses.dataclass(frozen=True)
class Config:
    """A request to train.

    Attributes:
        model: name of the architecture.
        recipe: name of one of its recipes.
        overrides: fields of the recipe that are replaced.
        dataset: TFDS name, ``digits``, ``linear_regression`` or a directory; None
            for the architecture's own.
        data_dir: where TFDS keeps prepared datasets; None for TFDS's default.
        image_size: (height, width) that images are resized to; None to leave them.
        run_dir: where the run is kept; None for ``runs/MODEL-DATASET``.
        overwrite: replace what is in ``run_dir``.
        seed: of everything random, 0 to 2**31 - 1.
        jit_compile: ``true``, ``false`` or ``auto`` (XLA on accelerators only: on a
            CPU it is slower here).
        gradient_norm: report the global norm of the gradients.
        eval_every: epochs between evaluations on the test split while training.
        backup_steps: steps between backups; None for about every 30 s and at the
            ends of epochs, as far as that costs less than 1/60 of the time.
        strategy: the devices: ``one``, ``mirrored`` (all of this machine), ``tpu``,
            ``multi_worker`` (TF_CONFIG or Slurm), or ``auto``.
        precision: ``float32``, ``mixed_float16`` or ``mixed_bfloat16``.
        memory_limit: bytes; data that need more are read from disk. None for half of
            what is available.
        deterministic: the same bits from every run, also from a resumed one.
        tensorboard: write scalars for TensorBoard.
        histograms: also of each trainable variable, after each epoch.
        profile_steps: the first and the last step to profile, from 1.
        progress: ``bar``, ``epoch`` (a line each), ``none``, or ``auto``: bars on a
            terminal, nothing elsewhere.
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
    backup_steps: int | None = None
    deterministic: bool = False
    strategy: str = "auto"
    precision: str = "float32"
    memory_limit: int | None = None
    tensorboard: bool = True
    histograms: bool = False
    profile_steps: tuple[int, int] | None = None
    progress: str = "auto"

    def check(self) -> None:
        """Checks names and numbers.

        Raises:
            UserError: what is wrong, what was received, what is allowed.
        """
        registry.check_model(self.model)
        registry.check_recipe(self.model, self.recipe)
        Recipe().override(**self._checkable_overrides())
        names.data_root(self.data_dir)
        if self.dataset is not None:
            load.check_name(self.dataset, self.data_dir)
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must be 0 to 2**31 - 1. Received: {self.seed}.")
        if self.run_dir == "":
            raise UserError("--run_dir is empty. Leave it out for runs/MODEL-DATASET.")
        if self.backup_steps is not None and self.backup_steps < 1:
            raise UserError(
                f"--backup_steps must be 1 or more. Received: {self.backup_steps}."
            )
        if self.memory_limit is not None and not (
            isinstance(self.memory_limit, int) and self.memory_limit >= 1
        ):
            raise UserError(
                "memory_limit must be a whole number of bytes, 1 or more. Received: "
                f"{self.memory_limit}."
            )
        for name, known in (
            ("strategy", STRATEGIES),
            ("precision", PRECISIONS),
            ("jit_compile", JIT_CHOICES),
        ):
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        cluster.several(self.strategy)
        if (self.histograms or self.profile_steps) and not self.tensorboard:
            raise UserError(
                "--histograms and --profile_steps are for TensorBoard. Received: "
                "--notensorboard. Leave it out."
            )
        if self.eval_every < 1:
            raise UserError(
                f"--eval_every must be 1 or more. Received: {self.eval_every}."
            )

    def _checkable_overrides(self) -> dict[str, Any]:
        # The recipe itself is behind TensorFlow: momentum is checked by itself
        # here, and together with the recipe's optimizer later.
        fields = dict(self.overrides)
        if "momentum" in fields or "nesterov" in fields:
            fields.setdefault("optimizer", "sgd")
        if fields.get("nesterov"):
            fields.setdefault("momentum", 0.9)
        return fields


def parse_steps_per_execution(text: str | None) -> int | None:
    """Reads a number of steps; None, the recipe's, for ``auto``.

    Raises:
        UserError: it is neither.
    """
    if text in (None, "auto"):
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) < 1:
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
    match = re.fullmatch(r"([0-9]{1,15}),([0-9]{1,15})", text)
    steps = [int(part) for part in match.groups()] if match else [0, 0]
    if not 1 <= steps[0] <= steps[1]:
        raise UserError(
            "--profile_steps must be the first and the last step to profile, from 1, "
            f"as 10,20. Received: {text}."
        )
    return steps[0], steps[1]


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_memory_limit(text: str | None) -> int | None:
    """Reads bytes, as ``8G``, ``500M`` or ``auto`` (None).

    Raises:
        UserError: it is none of them.
    """
    if text in (None, "auto"):
        return None
    match = re.fullmatch(r"([0-9.]{1,20})([KMGT]?)B?", text.upper())
    try:
        size = float(match[1]) * _UNITS[match[2]] if match else 0.0
    except ValueError:
        size = 0.0
    if not 1 <= size < 1e18:
        raise UserError(
            "--memory_limit must be a number of bytes, as 8G, 500M or 8000000000, or "
            f"auto. Received: {text[:80]}."
        )
    return int(size)


def parse_image_size(text: str | None) -> tuple[int, int] | None:
    """Reads ``32`` or ``28x40`` (height x width) as pixels.

    Raises:
        UserError: it is neither, or out of 1 to 4096.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    try:
        sizes = [int(part) for part in parts]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 2) or not all(1 <= size <= 4096 for size in sizes):
        raise UserError(
            "--image_size must be SIZE or HEIGHTxWIDTH in pixels, 1 to 4096. "
            f"Received: {text}."
        )
    return sizes[0], sizes[-1]
