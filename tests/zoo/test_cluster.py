"""TF_CONFIG and Slurm's environment: right ones, and wrong ones in one line."""

from __future__ import annotations

import json

import pytest

from zoo import cluster
from zoo.errors import UserError


def tf_config(cluster_of, kind="worker", index=0):
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster_of, "task": task})}


def slurm(nodes, tasks, count, rank=0, **others):
    return {
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_PROCID": str(rank),
        "SLURM_JOB_ID": "31",
        **others,
    }


def test_tf_config():
    found = cluster.find(tf_config({"worker": ["a:1", "b:2"]}, index=1))
    assert found == cluster.Cluster(("a:1", "b:2"), 1)


def test_a_chief_is_the_first_worker():
    jobs = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert cluster.find(tf_config(jobs, "chief")) == cluster.Cluster(
        ("a:1", "b:1", "c:1"), 0
    )
    assert cluster.find(tf_config(jobs, "worker", 1)).index == 2


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TF_CONFIG": "{}"},
        tf_config({"worker": ["a:1"]}),
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},  # a batch script, outside of srun
        slurm("n1", "1", 1),
    ],
)
def test_one_process_is_no_cluster(environ):
    assert cluster.find(environ) is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TF_CONFIG": "{"}, "it is not JSON"),
        ({"TF_CONFIG": "[]"}, "it is not JSON of that form"),
        (tf_config({"worker": ["a:1", "b:1"], "ps": ["c:1"]}), "job 'ps' is not"),
        (tf_config({"worker": ["a:1", "b:1"]}, "evaluator"), "a type and an index"),
        (tf_config({"worker": ["a:1", "b:1"]}, index=2), "there is no worker 2"),
        (tf_config({"worker": ["a:1", "b"]}), "a list of host:port"),
        (tf_config({"worker": ["a:1", "a:1"]}), "an address is there twice"),
        (slurm("n[1-2]", "1(x3)", 2), "Slurm's variables do not fit together"),
        (slurm("n[1-", "2", 2), "SLURM_STEP_NODELIST=n"),
        (slurm("n1,n2", "one", 2), "Slurm's variables"),
        (slurm("n1,n2", "1(x2)", 2, rank=2), "SLURM_PROCID=2"),
    ],
)
def test_mistakes_are_explained(environ, message):
    with pytest.raises(UserError, match=message) as caught:
        cluster.find(environ)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("nodes", "tasks", "hosts"),
    [
        ("n1,n2", "1(x2)", ["n1", "n2"]),
        ("n[2,10]", "1(x2)", ["n2", "n10"]),  # not in the order of letters
        ("n[08-11]", "1(x4)", ["n08", "n09", "n10", "n11"]),
        ("a[1-2]-ib,login", "1,1,1", ["a1-ib", "a2-ib", "login"]),
        ("r[1-2]n[1-2]", "1(x4)", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)
def test_slurm_lists_of_hosts(nodes, tasks, hosts):
    found = cluster.find(slurm(nodes, tasks, len(hosts), rank=1))
    assert found.index == 1
    assert [address.split(":")[0] for address in found.workers] == hosts


def test_tasks_on_one_node_and_jobs_on_one_node_have_their_own_ports():
    found = cluster.find(slurm("n[1-3]", "2(x2),1", 5, rank=4))
    assert len(set(found.workers)) == 5
    assert [address[:2] for address in found.workers] == ["n1", "n1", "n2", "n2", "n3"]
    other = cluster.find(slurm("n[1-3]", "2(x2),1", 5, SLURM_JOB_ID="32"))
    assert not {*found.workers} & {*other.workers}


def test_several_workers_have_to_be_described(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="needs two workers or more.*Received: neither"):
        cluster.asked_for("multi_worker")
    assert cluster.asked_for("auto") is None
    assert cluster.asked_for("one") is None
