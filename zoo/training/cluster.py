"""The workers of a training, from TF_CONFIG or from Slurm's variables."""

from __future__ import annotations

import dataclasses
import json
import os
import re

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


def find(strategy: str) -> Cluster | None:
    """Returns the cluster to train on, or None for a ``--strategy`` of one process."""
    if strategy not in ("auto", "multi_worker"):
        return None
    text = os.environ.get("TF_CONFIG")
    cluster = _from_tf_config(text) if text else _from_slurm()
    if cluster is None and strategy == "multi_worker":
        raise UserError(
            "--strategy=multi_worker needs two workers or more, described in TF_CONFIG "
            f"or by Slurm's srun. Received: {text or 'neither'}. Set "
            f"TF_CONFIG={_EXAMPLE}, or choose another --strategy."
        )
    return cluster


def _from_tf_config(text: str) -> Cluster | None:
    """Returns the cluster, or None if it has fewer than two workers."""
    try:
        content = json.loads(text)
        jobs, task = content.get("cluster", {}), content.get("task", {})
        workers = (*jobs.get("chief", []), *jobs.get("worker", []))
        if jobs.keys() - {"chief", "worker"} or len(jobs.get("chief", [])) > 1:
            raise ValueError("there are other jobs")
        if len(workers) < 2:
            return None
        if not all(re.fullmatch(r".+:\d{1,5}", address) for address in workers):
            raise ValueError("an address has another form")
        if task["index"] < 0 or len(set(workers)) < len(workers):
            raise ValueError("the task is not the only one at its address")
        index = workers.index(jobs[task["type"]][task["index"]])
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise UserError(
            "TF_CONFIG must list the workers, and one chief or none, as host:port, and "
            f"give the type and index of this process. Received: {text[:200]}. Set it "
            f"like {_EXAMPLE}, or unset it."
        ) from None
    return Cluster(workers, index)


def _from_slurm() -> Cluster | None:
    """Returns the cluster of a Slurm step, or None outside of srun or for one task."""
    values = {name: os.environ.get(name, "") for name in _SLURM}
    if values["SLURM_STEP_NUM_TASKS"] in ("", "1"):
        return None
    tasks, nodes, per_node, node, local = values.values()
    # Two jobs on one node must not use the same port.
    job = os.environ.get("SLURM_JOB_ID", "")
    port = 20000 + (int(job) % 1000 * 10 if job.isdecimal() else 0)
    if asked := os.environ.get("ZOO_PORT"):
        port = int(asked) if re.fullmatch(r"\d{1,5}", asked) else 0
        if not 0 < port < 2**16:
            raise UserError(f"ZOO_PORT must be 1 to 65535. Received: {asked[:80]}.")
    try:
        workers = tuple(
            f"{host}:{port + number}"
            for host, count in zip(_hosts(nodes), _counts(per_node), strict=True)
            for number in range(count)
        )
        if len(workers) != int(tasks):
            raise ValueError("the number of tasks differs")
        index = workers.index(f"{node}:{port + int(local)}")
    except ValueError as error:
        received = ", ".join(f"{name}={value}" for name, value in values.items())
        raise UserError(
            f"Slurm's variables are inconsistent. Received: {received}. Start with "
            "srun, set TF_CONFIG, or pass --strategy=one."
        ) from error
    return Cluster(workers, index)


def _hosts(nodes: str) -> list[str]:
    """Expands a list of nodes: ``n[08-10,12],login``."""
    one = r"([^,[\]]+)(?:\[([\d,-]+)\])?"
    if not re.fullmatch(f"{one}(?:,{one})*", nodes):
        raise ValueError("the list of nodes has another form")
    hosts = []
    for prefix, numbers in re.findall(one, nodes):
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            if not first:
                hosts.append(prefix)
                continue
            every = range(int(first), int(last or first) + 1)
            hosts += [f"{prefix}{number:0{len(first)}}" for number in every]
    return hosts


def _counts(per_node: str) -> list[int]:
    """Expands the numbers of tasks on each node: ``2(x3),1``."""
    counts = []
    for part in per_node.split(","):
        count, _, times = part.removesuffix(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    return counts
