"""The workers of a training, from TF_CONFIG or from Slurm's variables."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Any

from zoo.errors import UserError

#: The variables that describe a task's place in a Slurm step.
_SLURM = (
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURMD_NODENAME",
    "SLURM_LOCALID",
)
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of one training."""

    workers: tuple[str, ...]  # host:port; the first one is the chief
    index: int  # the position of this process among the workers


def several(strategy: str) -> bool:
    """Returns whether ``--strategy`` means several workers, without TensorFlow.

    Raises:
        UserError: TF_CONFIG is invalid, or several workers were asked for and the
            environment does not describe any.
    """
    if strategy not in ("auto", "multi_worker"):
        return False
    text = os.environ.get("TF_CONFIG")
    cluster = _from_tf_config(text) if text else None
    # These variables exist only inside srun.
    if cluster or (not text and _number("SLURM_STEP_NUM_TASKS") > 1):
        return True
    if strategy == "auto":
        return False
    raise UserError(
        "--strategy=multi_worker needs two workers or more, described in TF_CONFIG or "
        f"by Slurm's srun. Received: {text or 'neither'}. Set TF_CONFIG={_EXAMPLE}, or "
        "choose another --strategy."
    )


def find(strategy: str) -> Cluster | None:
    """Finds the workers."""
    return _find() if several(strategy) else None


def _find() -> Cluster:
    """Returns the cluster that the environment describes.

    Raises:
        UserError: TF_CONFIG or Slurm's variables are invalid.
    """
    text = os.environ.get("TF_CONFIG")
    cluster = _from_tf_config(text) if text else _from_slurm()
    assert cluster, "several() tells whether there is one"
    return cluster


def _from_tf_config(text: str) -> Cluster | None:
    """Returns the cluster, or None if it has fewer than two workers."""
    try:
        content = json.loads(text)
        jobs: dict[str, list[str]] = dict(content.get("cluster", {}))
        kind, index = (content.get("task", {}).get(key) for key in ("type", "index"))
        mistake = _find_mistake(jobs, kind, index) if jobs else None
    except (ValueError, AttributeError, TypeError, RecursionError):
        mistake = "it is not JSON of the expected form"
    if mistake:
        raise UserError(
            f"TF_CONFIG cannot be used: {mistake}. Received: {text[:200]}. Set it like "
            f"{_EXAMPLE}, or unset it."
        )
    workers = (*jobs.get("chief", []), *jobs.get("worker", []))
    if len(workers) < 2:
        return None
    return Cluster(workers, workers.index(jobs[kind][index]))


def _find_mistake(jobs: dict[str, list[str]], kind: Any, index: Any) -> str | None:
    """Returns what is wrong with the cluster's jobs or this process's task, if any."""
    for job in jobs.keys() - {"chief", "worker"}:
        return f"the job {job!r} is not supported, only chief and worker are"
    every = [address for addresses in jobs.values() for address in addresses]
    ports = [re.fullmatch(r".+:(\d{1,5})", address) for address in every]
    are_lists = all(isinstance(addresses, list) for addresses in jobs.values())
    if not are_lists or not all(port and 0 < int(port[1]) < 2**16 for port in ports):
        return "addresses must be a list of host:port, with ports of 1 to 65535"
    if len(jobs.get("chief", [])) > 1:
        return "there can only be one chief"
    if kind not in ("chief", "worker") or type(index) is not int:
        return "the task must have a type and an index"
    if not 0 <= index < len(jobs.get(kind, [])):
        return f"there is no {kind} {index}"
    return "an address appears twice" if len(set(every)) < len(every) else None


def _number(variable: str) -> int:
    """Returns the whole number in an environment variable, or 0."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def _from_slurm() -> Cluster:
    import tensorflow as tf

    # Two jobs on one node must not use the same port.
    port = 20000 + _number("SLURM_JOB_ID") % 1000 * 10
    if asked := os.environ.get("ZOO_PORT"):
        port = _number("ZOO_PORT")
        if not 0 < port < 2**16:
            raise UserError(f"ZOO_PORT must be 1 to 65535. Received: {asked[:80]}.")
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port,
            # By default it calls nvidia-smi, which CPU nodes lack, and distributes
            # GPUs that srun has already assigned to each task.
            gpus_per_node=_number("SLURM_STEP_NUM_TASKS"),
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        workers = tuple(resolver.cluster_spec().as_dict()["worker"])
        # The resolver uses the rank as the index but sorts hosts alphabetically, with
        # n10 before n2.
        local = port + int(os.environ["SLURM_LOCALID"])
        index = workers.index(f"{os.environ['SLURMD_NODENAME']}:{local}")
    except (RuntimeError, ValueError, KeyError) as error:
        received = ", ".join(f"{name}={os.environ.get(name, '')}" for name in _SLURM)
        raise UserError(
            f"Slurm's variables are inconsistent. Received: {received}. Start with "
            "srun, set TF_CONFIG, or pass --strategy=one."
        ) from error
    return Cluster(workers, index)
