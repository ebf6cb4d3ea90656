"""Tests clusters from TF_CONFIG and Slurm, and the error for every mistake."""

from __future__ import annotations

import json

import pytest

from zoo.errors import UserError
from zoo.training import cluster


@pytest.fixture
def environ(monkeypatch):
    """Sets the variables of a cluster and removes those of others."""

    def put(variables):
        for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "ZOO_PORT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


def tf_config(cluster_of, kind="worker", index=0):
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster_of, "task": task})}


def slurm(nodes, tasks, count, node="n1", local=0, job="31"):
    return {
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURMD_NODENAME": node,
        "SLURM_LOCALID": str(local),
        "SLURM_JOB_ID": job,
    }


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "expected"),
    [
        ({"worker": ["a:1", "b:2"]}, "worker", 1, (("a:1", "b:2"), 1)),
        ({"worker": ["b:1"], "chief": ["a:1"]}, "chief", 0, (("a:1", "b:1"), 0)),
        ({"worker": ["b:1"], "chief": ["a:1"]}, "worker", 0, (("a:1", "b:1"), 1)),
    ],
)
def test_the_chief_of_tf_config_is_the_first_worker(
    jobs, kind, index, expected, environ
):
    environ(tf_config(jobs, kind, index))
    assert cluster.find("auto") == cluster.Cluster(*expected)
    assert cluster.find("one") is None


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TF_CONFIG": "{}"},
        tf_config({"worker": ["a:1"]}),
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},  # a batch script, outside of srun
        slurm("n1", "1", 1),
    ],
)
def test_one_process_is_no_cluster(variables, environ):
    environ(variables)
    assert cluster.find("auto") is None
    with pytest.raises(UserError, match="needs two workers or more.*Received: "):
        cluster.find("multi_worker")


TWO = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG must list"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG must list"),
        ({"TF_CONFIG": "[" * 60_000}, "TF_CONFIG must list"),
        (tf_config(TWO | {"ps": ["c:1"]}), "TF_CONFIG must list"),
        (tf_config(TWO, "evaluator"), "TF_CONFIG must list"),
        (tf_config(TWO, index=-1), "TF_CONFIG must list"),
        (tf_config({"worker": ["a:1", "b"]}), "TF_CONFIG must list"),
        (tf_config({"worker": ["a:1", "a:1"]}), "TF_CONFIG must list"),
        (slurm("n1,n2", "1(x2)", 2) | {"ZOO_PORT": "abc"}, "ZOO_PORT must be 1 to"),
        (slurm("n[1-2]", "2", 4), "Slurm's variables are inconsistent"),
        (slurm("n[1-", "2", 2), "SLURM_STEP_NODELIST=n"),
        (slurm("n1,n2", "one", 2), "SLURM_STEP_TASKS_PER_NODE=one"),
        (slurm("n1,n2", "1(x2)", 2, "n3"), "SLURMD_NODENAME=n3"),
    ],
)
def test_mistakes_are_explained(variables, message, environ):
    environ(variables)
    with pytest.raises(UserError, match=message):
        cluster.find("auto")


@pytest.mark.parametrize(
    ("nodes", "tasks", "count", "places"),
    [
        ("n1,n2", "1(x2)", 2, ["n1-0", "n2-0"]),
        ("n[2,10]", "1(x2)", 2, ["n2-0", "n10-0"]),
        ("n[08-11]", "1(x4)", 4, ["n08-0", "n09-0", "n10-0", "n11-0"]),
        ("n[1-3],login", "2(x2),1,1", 6, ["n1-0", "n1-1", "n2-0", "n2-1", "n3-0"]),
    ],
)
def test_each_slurm_task_finds_its_own_address(nodes, tasks, count, places, environ):
    found = []
    for place in places:
        node, local = place.split("-")
        environ(slurm(nodes, tasks, count, node, local))
        found.append(cluster.find("auto"))
    assert len({each.workers for each in found}) == 1
    assert len(set(found[0].workers)) == count
    for each, place in zip(found, places, strict=True):
        node, local = place.split("-")
        assert each.workers[each.index] == f"{node}:{20310 + int(local)}"


def test_two_jobs_on_one_node_have_their_own_ports(environ):
    environ(slurm("n[1-3]", "2(x3)", 6))
    mine = cluster.find("auto")
    environ(slurm("n[1-3]", "2(x3)", 6, job="32"))
    assert not {*mine.workers} & {*cluster.find("auto").workers}
