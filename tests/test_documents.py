"""The documents say what is so."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import yaml

import train
import zoo
from benchmarks import __main__ as bench
from benchmarks import accuracy, document, personalize
from export import __main__ as export_command
from export import serve
from export.formats import FORMATS
from tests.conftest import ROOT
from zoo import cli, results
from zoo.errors import UserError

README = (ROOT / "README.md").read_text()
BUILD = (ROOT / "BUILD.md").read_text()


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
    for command in (train, cli, export_command, serve):
        for name in command.FLAGS:
            flags |= {name, f"no{name}"} if command.FLAGS[name].boolean else {name}
    others = (
        r"tensorflow_model_server.*\n.*|#SBATCH.*|srun --\S+|`--gpus-per-task.*?`"
        r"|python -m benchmarks[^`\n]*"
    )
    ours = re.sub(others, "", README + BUILD)
    named = set(re.findall(r"[ `(]--(\w+)", ours)) - {"help"}
    assert named <= flags, named - flags


def test_the_tables_of_personalize_are_those_of_its_results():
    results = json.loads(personalize.RESULTS.read_text())
    assert personalize.table(results) in BUILD
    assert personalize.zero_table(results) in BUILD
    rows = {row["examples"]: row["device"] for row in results["runs"][0]["rows"]}
    after = np.mean([one["digits"] for one in rows[1000]])
    assert f"| {100 * after:.2f}% |" in personalize.table(results)


@pytest.mark.parametrize("name", bench.COMPARISONS)
def test_the_tables_of_the_benchmarks_are_those_of_their_results(name):
    result = document.results().get(name)
    section = bench.section(name, result) if result else ""
    text = document.where(name).read_text()
    assert f"<!-- {name} -->\n{section}<!-- /{name} -->" in text


def block(begins):
    """Returns the indented block of BUILD.md that begins with a line."""
    (text,) = re.findall(
        rf"^ {{4}}{re.escape(begins)}.*\n(?:(?: {{4}}.*)?\n)*", BUILD, re.M
    )
    return textwrap.dedent(text)


def started_as(command, environ, tmp_path):
    """What a worker knows of its cluster, and whether train.py takes its flags."""
    program, *flags = command[command.index("train.py") :]
    assert program == "train.py"
    code = (
        "import json, sys, train\n"
        "from zoo import console\n"
        "from zoo.training import cluster\n"
        "console.parse_flags(sys.argv, '', train.FLAGS)\n"
        "config = train.config_from_flags()\n"
        "config.check()\n"
        "assert cluster.several(config.strategy)\n"
        "found = cluster.find()\n"
        "print(json.dumps([config.batch_size, found.workers, found.index]))\n"
    ).replace("config.batch_size", "config.overrides['batch_size']")
    kept = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tf_config_by_hand(tmp_path):
    lines = block('export TF_CONFIG=\'{"cluster": {"worker": ["host0:2222",')
    (assignment,) = shlex.split(lines.split("python train.py")[0])[1:]
    command = shlex.split(lines[lines.index("python train.py") :])
    name, value = assignment.split("=", 1)
    assert started_as(command, {name: value}, tmp_path) == [
        *(256, ["host0:2222", "host1:2222"], 0)
    ]


def test_the_sbatch_script(tmp_path):
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
    batch, workers, index = started_as(srun, environ, tmp_path)
    assert batch % (nodes * tasks) == 0
    assert workers == [f"node{8 + k:02}:27110" for k in range(nodes)]
    assert index == 2


def test_the_manifest_of_the_training_operator(tmp_path):
    # Names and values: TFJob of the operator's kubeflow.org/v1, and core/v1.
    job = yaml.safe_load(block("apiVersion: kubeflow.org/v1"))
    assert {key: job[key] for key in ("apiVersion", "kind")} == {
        **{"apiVersion": "kubeflow.org/v1", "kind": "TFJob"}
    }
    assert job.keys() == {"apiVersion", "kind", "metadata", "spec"}
    spec = job["spec"]
    assert spec.keys() <= {"runPolicy", "successPolicy", "tfReplicaSpecs"}
    assert spec["successPolicy"] in ("", "AllWorkers")
    assert spec["runPolicy"]["cleanPodPolicy"] in ("All", "Running", "None")
    assert spec["tfReplicaSpecs"].keys() == {"Worker"}  # of which the first is chief
    worker = spec["tfReplicaSpecs"]["Worker"]
    assert worker.keys() == {"replicas", "restartPolicy", "template"}
    assert worker["restartPolicy"] == "OnFailure"
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "tensorflow"
    assert container["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert all("claimName" in v["persistentVolumeClaim"] for v in pod["volumes"])
    names = [
        f"{job['metadata']['name']}-worker-{k}.default.svc:2222"
        for k in range(worker["replicas"])
    ]
    config = {  # as the operator makes it
        "cluster": {"worker": names},
        "task": {"type": "worker", "index": 3},
        "environment": "cloud",
    }
    environ = {"TF_CONFIG": json.dumps(config)}
    batch, workers, index = started_as(container["command"], environ, tmp_path)
    assert batch % worker["replicas"] == 0
    assert (workers, index) == (names, 3)
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for flag in ("--run_dir", "--data_dir"):
        (value,) = [c for c in container["command"] if c.startswith(f"{flag}=")]
        assert value.split("=")[1].startswith(tuple(mounts))


def test_a_table_is_written_between_its_markers(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    document.rewrite(path, "t", "new\n")
    assert path.read_text() == "before\n<!-- t -->\nnew\n<!-- /t -->\nafter\n"
    with pytest.raises(UserError, match="has no markers <!-- u -->"):
        document.rewrite(path, "u", "new\n")


def test_the_tables_of_results_are_those_of_the_csv():
    rows = results.load()
    keys = [(row.model, row.recipe, row.dataset) for row in rows]
    assert keys == [key for key in accuracy.combinations(None) if key in keys]
    for model in zoo.list_models():
        assert (model, "default", "mnist") in keys
    for name, text in {
        "results": accuracy.table(rows),
        "files": accuracy.files_table(rows),
    }.items():
        assert f"<!-- {name} -->\n{text}<!-- /{name} -->" in README


@pytest.mark.parametrize("row", results.load(), ids=lambda r: f"{r.model}-{r.recipe}")
def test_a_result_is_of_the_recipe_as_it_is(row):
    assert 1 <= row.seeds <= len(accuracy.SEEDS)
    assert row.lowest <= row.accuracy <= row.highest
    recipe = zoo.get_recipe(row.model, row.recipe)
    assert row.settings == accuracy.current(row.model, row.recipe)
    model = zoo.create_model(
        row.model, input_shape=(28, 28, 1), num_classes=10, recipe=recipe, steps=1
    )
    assert model.count_params() == row.parameters
    assert row.artifacts.keys() == set(results.ARTIFACTS)
