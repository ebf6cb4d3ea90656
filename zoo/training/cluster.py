"""Who trains together: TF_CONFIG, or what Slurm tells each task of a step."""

from __future__ import annotations

import dataclasses
import json
import os
import re
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


def several(strategy: str) -> bool:
    """Tells whether ``--strategy`` means several workers; does not need TensorFlow.

    Raises:
        UserError: TF_CONFIG has mistakes in it, or several workers are asked for and
            none are described.
    """
    if strategy not in ("auto", "multi_worker"):
        return False
    text = os.environ.get("TF_CONFIG")
    cluster = _from_tf_config(text) if text else None
    if cluster or (not text and _slurm_tasks() > 1):
        return True
    if strategy == "auto":
        return False
    raise UserError(
        "--strategy=multi_worker needs two workers or more, described in TF_CONFIG or "
        f"by Slurm's srun. Received: {text or 'neither'}. Set TF_CONFIG={_EXAMPLE}, or "
        "choose another --strategy."
    )


def find() -> Cluster:
    """Returns the cluster that the environment describes, where there are several.

    Raises:
        UserError: TF_CONFIG or Slurm's variables have mistakes in them.
    """
    text = os.environ.get("TF_CONFIG")
    return _from_tf_config(text) if text else _from_slurm()


def _from_tf_config(text: str) -> Cluster | None:
    """Returns the cluster; None where it has one worker or none."""
    try:
        content = json.loads(text)
        jobs: dict[str, Any] = dict(content.get("cluster", {}))
        task = content.get("task", {})
        kind, index = task.get("type"), task.get("index")
        mistake = _find_mistake(jobs, kind, index) if jobs else None
    except (ValueError, AttributeError, TypeError, RecursionError):
        mistake = "it is not JSON of that form"
    if mistake:
        raise UserError(
            f"TF_CONFIG cannot be used: {mistake}. Received: {text[:200]}. Set it as "
            f"in {_EXAMPLE}, or unset it."
        )
    chiefs = jobs.get("chief", [])
    workers = (*chiefs, *jobs.get("worker", []))
    if len(workers) < 2:
        return None
    return Cluster(workers, index + (len(chiefs) if kind == "worker" else 0))


def _find_mistake(jobs: dict[str, Any], kind: Any, index: Any) -> str | None:
    """Returns what is wrong with the jobs of a cluster or with this process's task."""
    for job in jobs.keys() - {"chief", "worker"}:
        return f"the job {job!r} is not supported, only chief and worker are"
    for addresses in jobs.values():
        if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
            return "addresses must be a list of host:port, with ports of 1 to 65535"
    if len(jobs.get("chief", [])) > 1:
        return "there can be one chief"
    if kind not in ("chief", "worker") or type(index) is not int:
        return "the task must have a type and an index"
    if not 0 <= index < len(jobs.get(kind, [])):
        return f"there is no {kind} {index}"
    every = [address for addresses in jobs.values() for address in addresses]
    return "an address is there twice" if len(set(every)) < len(every) else None


def _is_address(value: Any) -> bool:
    match = re.fullmatch(r".+:(\d{1,5})", value)  # TypeError for what is no text
    return match is not None and 0 < int(match[1]) < 2**16


def _number(variable: str) -> int:
    """Returns the whole number that an environment variable holds; 0 for none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def _slurm_tasks() -> int:
    """Returns the tasks of the step that this process is in; 0 outside of srun."""
    return _number("SLURM_STEP_NUM_TASKS")


def _from_slurm() -> Cluster:
    import tensorflow as tf

    # Two jobs that share a node must not meet at one port.
    port = 20000 + _number("SLURM_JOB_ID") % 1000 * 10
    if asked := os.environ.get("ZOO_PORT"):
        port = _number("ZOO_PORT")
        if not 0 < port < 2**16:
            raise UserError(f"ZOO_PORT must be 1 to 65535. Received: {asked[:80]}.")
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port,
            # By itself it asks nvidia-smi, which CPU nodes lack, and shares out GPUs
            # that srun has given to each task already.
            gpus_per_node=_slurm_tasks(),
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        workers = tuple(resolver.cluster_spec().as_dict()["worker"])
        # Its own index is the rank, but it sorts hosts by letters, n10 before n2.
        local = port + int(os.environ["SLURM_LOCALID"])
        index = workers.index(f"{os.environ['SLURMD_NODENAME']}:{local}")
    except (RuntimeError, ValueError, KeyError) as error:
        names = (
            "SLURM_STEP_NUM_TASKS",
            "SLURM_STEP_NODELIST",
            "SLURM_STEP_TASKS_PER_NODE",
            "SLURMD_NODENAME",
            "SLURM_LOCALID",
        )
        received = ", ".join(f"{name}={os.environ.get(name, '')}" for name in names)
        raise UserError(
            f"Slurm's variables do not fit together. Received: {received}. Start with "
            "srun, set TF_CONFIG, or pass --strategy=one."
        ) from error
    return Cluster(workers, index)
