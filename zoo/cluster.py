"""Who trains together: TF_CONFIG, or what Slurm tells each task of a step.

Without TensorFlow, since it has to be known before TensorFlow starts. TensorFlow's own
SlurmClusterResolver (as of 2.21) takes node n10 for one before n2, so that ranks and
addresses differ, and fails where there are no GPUs.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from zoo.errors import UserError

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "tpu")
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of one training.

    Attributes:
        workers: their addresses, host:port; the first one is the chief.
        index: which of them this process is.
    """

    workers: tuple[str, ...]
    index: int


def find(environ: Mapping[str, str] | None = None) -> Cluster | None:
    """Returns the cluster that the environment describes, of two workers or more.

    Args:
        environ: the environment variables; default: those of this process.

    Raises:
        UserError: TF_CONFIG or Slurm's variables have mistakes in them.
    """
    environ = os.environ if environ is None else environ
    cluster = None
    if environ.get("TF_CONFIG"):
        cluster = _from_tf_config(environ["TF_CONFIG"])
    elif int_or_none(environ.get("SLURM_STEP_NUM_TASKS")) not in (None, 0, 1):
        cluster = _from_slurm(environ)
    return cluster if cluster and len(cluster.workers) > 1 else None


def asked_for(strategy: str) -> Cluster | None:
    """Returns the cluster that ``--strategy`` asks for; None for this process alone.

    Raises:
        UserError: several workers are asked for and none are described.
    """
    if strategy not in ("auto", "multi_worker"):
        return None
    cluster = find()
    if strategy == "multi_worker" and cluster is None:
        raise UserError(
            "--strategy=multi_worker needs two workers or more, described in TF_CONFIG "
            "or by Slurm's srun. Received: "
            f"{os.environ.get('TF_CONFIG') or 'neither'}. "
            f"Set TF_CONFIG={_EXAMPLE}, or choose another --strategy."
        )
    return cluster


def int_or_none(text: str | None) -> int | None:
    """Reads a whole number; None where there is none."""
    return int(text) if text and text.isdecimal() else None


def _from_tf_config(text: str) -> Cluster | None:
    try:
        content = json.loads(text)
        jobs: dict[str, Any] = dict(content.get("cluster", {}))
        task = content.get("task", {})
        kind, index = task.get("type"), task.get("index")
        alone = not jobs
    except (ValueError, AttributeError, TypeError):
        raise _wrong_tf_config(text, "it is not JSON of that form") from None
    if alone:
        return None
    for job in jobs.keys() - {"chief", "worker"}:
        raise _wrong_tf_config(
            text, f"the job {job!r} is not supported, only chief and worker are"
        )
    lists = {"chief": jobs.get("chief", []), "worker": jobs.get("worker", [])}
    for addresses in lists.values():
        if not isinstance(addresses, list) or not all(
            isinstance(a, str) and re.fullmatch(r".+:\d+", a) for a in addresses
        ):
            raise _wrong_tf_config(text, "addresses must be a list of host:port")
    if len(lists["chief"]) > 1:
        raise _wrong_tf_config(text, "there can be one chief")
    if kind not in lists or not isinstance(index, int) or isinstance(index, bool):
        raise _wrong_tf_config(text, "the task must have a type and an index")
    if not 0 <= index < len(lists[kind]):
        raise _wrong_tf_config(text, f"there is no {kind} {index}")
    workers = (*lists["chief"], *lists["worker"])
    if len(set(workers)) < len(workers):
        raise _wrong_tf_config(text, "an address is there twice")
    return Cluster(workers, index + (len(lists["chief"]) if kind == "worker" else 0))


def _wrong_tf_config(text: str, reason: str) -> UserError:
    return UserError(
        f"TF_CONFIG cannot be used: {reason}. Received: {text[:200]}. Set it as in "
        f"{_EXAMPLE}, or unset it."
    )


def _from_slurm(environ: Mapping[str, str]) -> Cluster:
    names = (
        *("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"),
        "SLURM_PROCID",
    )
    values = [environ.get(name, "") for name in names]
    try:
        count, rank = int(values[0]), int(values[3])
        hosts, tasks = list(_hosts(values[1])), list(_tasks(values[2]))
        if len(hosts) != len(tasks) or sum(tasks) != count or not 0 <= rank < count:
            raise ValueError
    except ValueError:
        received = ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True))
        raise UserError(
            f"Slurm's variables do not fit together. Received: {received}. Start with "
            "srun, set TF_CONFIG, or pass --strategy=one."
        ) from None
    # Two jobs that share a node must not meet at one port.
    job = int_or_none(environ.get("SLURM_JOB_ID")) or 0
    base = int_or_none(environ.get("ZOO_PORT")) or 20000 + job % 1000 * 10
    return Cluster(
        tuple(
            f"{host}:{base + k}"
            for host, number in zip(hosts, tasks, strict=True)
            for k in range(number)
        ),
        rank,
    )


def _hosts(text: str) -> Iterator[str]:
    """Expands Slurm's lists of hosts: ``a[1-3,07]-ib,b`` and the like, in order."""
    # Commas outside of brackets part the names.
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text):
        pieces = re.split(r"\[([^\]]*)\]", part)
        choices = [
            list(_numbers(piece)) if i % 2 else [piece]
            for i, piece in enumerate(pieces)
        ]
        for chosen in itertools.product(*choices):
            yield "".join(chosen)


def _numbers(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{number:0{len(first)}d}"


def _tasks(text: str) -> Iterator[int]:
    """Expands Slurm's counts of tasks: ``2(x3),1`` is 2, 2, 2, 1."""
    for part in text.split(","):
        if not (match := re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)):
            raise ValueError(part)
        yield from itertools.repeat(int(match[1]), int(match[2] or 1))
