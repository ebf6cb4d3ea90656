"""The documents say what is so."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import textwrap

import numpy as np
import pytest
import yaml

import zoo
from benchmarks import __main__ as bench
from benchmarks import accuracy, document, personalize
from export import serve
from export.formats import FORMATS
from tests.conftest import ROOT
from zoo import catalog, cli, console, results
from zoo.commands import export as export_command
from zoo.commands import train
from zoo.errors import UserError
from zoo.training import cluster

README = (ROOT / "README.md").read_text()
BUILD = (ROOT / "BUILD.md").read_text()
RESULTS = results.load()


def test_the_readme_names_every_model_and_recipe():
    for model in zoo.list_models():
        row = re.search(rf"^\| `{model}` \|.*$", README, re.MULTILINE)[0]
        for recipe in zoo.list_recipes(model):
            assert f"`{recipe}`" in row


def test_paths_and_modules_that_are_named_exist():
    text = README + BUILD
    for path in re.findall(r"`((?:zoo|export|tests|benchmarks)/[\w./]+)`", text):
        if path != "zoo/models/tiny.py":
            assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m ((?:zoo|export|benchmarks)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    for format_name in FORMATS:
        assert format_name in BUILD


def test_every_flag_that_is_named_exists():
    flags = set()
    commands = (train.FLAGS, export_command.FLAGS, serve.FLAGS, cli.AUGMENT, cli.RUN)
    for command in commands:
        for name in command:
            flags |= {name, f"no{name}"} if command[name].boolean else {name}
    others = (
        r"tensorflow_model_server.*\n.*|#SBATCH.*|srun --\S+|`--gpus-per-task.*?`"
        r"|python -m benchmarks[^`\n]*"
    )
    ours = re.sub(others, "", README + BUILD)
    named = set(re.findall(r"[ `(]--(\w+)", ours)) - {"help"}
    assert named <= flags, named - flags


def test_the_tables_of_personalize_are_those_of_its_results():
    found = json.loads(personalize.RESULTS.read_text())
    assert personalize.table(found) in BUILD
    assert personalize.zero_table(found) in BUILD
    rows = {row["examples"]: row["device"] for row in found["runs"][0]["rows"]}
    after = np.mean([one["digits"] for one in rows[1000]])
    assert f"| {100 * after:.2f}% |" in personalize.table(found)


TABLES = {
    name: bench.section(name, result) for name, result in document.results().items()
}
TABLES["results"] = accuracy.table(RESULTS)
TABLES["files"] = accuracy.files_table(RESULTS)


@pytest.mark.parametrize("name", [*bench.COMPARISONS, "results", "files"])
def test_a_table_is_that_of_its_results(name):
    text = document.where(name).read_text()
    assert f"<!-- {name} -->\n{TABLES.get(name, '')}<!-- /{name} -->" in text


def block(begins):
    """Returns the indented block of BUILD.md that begins with a line, lines joined."""
    (text,) = re.findall(
        rf"^ {{4}}{re.escape(begins)}.*\n(?:(?: {{4}}.*)?\n)*", BUILD, re.M
    )
    return textwrap.dedent(text).replace("\\\n", "")


@pytest.fixture
def started_as(tmp_path, monkeypatch):
    """What a worker that a command starts knows: (batch size, workers, its index)."""

    def started(command, environ):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        arguments = command[command.index("train.py") :]
        assert console.parse_flags(arguments, "", train.FLAGS) == []
        config = train.config_from_flags()
        config.check()
        assert cluster.several(config.strategy)
        found = cluster.find()
        return config.overrides["batch_size"], list(found.workers), found.index

    return started


def test_tf_config_by_hand(started_as):
    lines = block('export TF_CONFIG=\'{"cluster": {"worker": ["host0:2222",')
    (assignment,) = shlex.split(lines.split("python train.py")[0])[1:]
    command = shlex.split(lines[lines.index("python train.py") :])
    name, value = assignment.split("=", 1)
    workers = ["host0:2222", "host1:2222"]
    assert started_as(command, {name: value}) == (256, workers, 0)


def test_the_sbatch_script(started_as):
    script = block("#!/bin/bash")
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", script, re.M))
    nodes, tasks = int(options["nodes"]), int(options["ntasks-per-node"])
    srun = shlex.split(script[script.index("srun ") :])
    environ = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": options["job-name"],
        "SLURM_STEP_NODELIST": f"node[08-{7 + nodes:02}]",
        "SLURM_STEP_TASKS_PER_NODE": f"{tasks}(x{nodes})",
        "SLURM_STEP_NUM_TASKS": str(nodes * tasks),
        "SLURM_PROCID": "2",
        "SLURMD_NODENAME": "node10",
        "SLURM_LOCALID": "0",
    }
    workers = [f"node{8 + k:02}:27110" for k in range(nodes)]
    assert started_as(srun, environ) == (512, workers, 2)
    assert 512 % (nodes * tasks) == 0


def test_the_manifest_of_the_training_operator(started_as):
    # Names and values: TFJob of the operator's kubeflow.org/v1, and core/v1.
    job = yaml.safe_load(block("apiVersion: kubeflow.org/v1"))
    spec = job["spec"]
    worker = spec["tfReplicaSpecs"].pop("Worker")  # the first of them is chief
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert job == {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": "convnet"},
        "spec": {
            "successPolicy": "AllWorkers",
            "runPolicy": {"cleanPodPolicy": "Running", "backoffLimit": 10},
            "tfReplicaSpecs": {},
        },
    }
    assert worker.keys() == {"replicas", "restartPolicy", "template"}
    assert worker["restartPolicy"] == "OnFailure"
    assert container["name"] == "tensorflow"
    assert container["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    claims = {v["name"]: v["persistentVolumeClaim"] for v in pod["volumes"]}
    assert mounts.keys() == claims.keys()
    assert all("claimName" in claim for claim in claims.values())
    name, n = job["metadata"]["name"], worker["replicas"]
    workers = [f"{name}-worker-{k}.default.svc:2222" for k in range(n)]
    config = {  # what the operator makes of it
        "cluster": {"worker": workers},
        "task": {"type": "worker", "index": 3},
        "environment": "cloud",
    }
    environ = {"TF_CONFIG": json.dumps(config)}
    assert started_as(container["command"], environ) == (512, workers, 3)
    assert 512 % n == 0
    for flag in ("--run_dir=", "--data_dir="):
        (value,) = [c for c in container["command"] if c.startswith(flag)]
        assert value.removeprefix(flag).startswith(tuple(mounts.values()))


def test_a_table_is_written_between_its_markers(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    document.rewrite(path, "t", "new\n")
    assert path.read_text() == "before\n<!-- t -->\nnew\n<!-- /t -->\nafter\n"
    with pytest.raises(UserError, match="has no markers <!-- u -->"):
        document.rewrite(path, "u", "new\n")


def test_every_model_has_a_result_and_they_are_in_order():
    keys = [(row.model, row.recipe, row.dataset) for row in RESULTS]
    assert keys == [key for key in accuracy.combinations(None) if key in keys]
    assert {(m, "default", "mnist") for m in zoo.list_models()} <= set(keys)


@pytest.mark.parametrize("row", RESULTS, ids=lambda r: f"{r.model}-{r.recipe}")
def test_a_result_is_of_the_recipe_as_it_is(row):
    assert 1 <= row.seeds <= len(accuracy.SEEDS)
    assert row.lowest <= row.accuracy <= row.highest
    assert row.settings == accuracy.current(row.model, row.recipe)
    model = zoo.create_model(row.model, **catalog.IMAGES, recipe=row.recipe)
    assert model.count_params() == row.parameters
    assert row.artifacts.keys() == set(results.ARTIFACTS)
