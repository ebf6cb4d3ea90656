"""Tests that the commands, names, links and tables of the documents are right."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import tomllib

import keras
import numpy as np
import pytest
import yaml

import zoo
from benchmarks import __main__ as bench
from benchmarks import accuracy, document, personalize
from export.formats import FORMATS, parse_formats
from tests.conftest import ROOT
from zoo import __main__ as cli
from zoo.commands import export as export_command
from zoo.commands import flags, train
from zoo.errors import UserError
from zoo.records import results
from zoo.records.rundir import RunDir
from zoo.training import cluster

DOCUMENTS = {
    path: path.read_text() for path in (*document.DOCUMENTS, ROOT / "CONTRIBUTING.md")
}
TEXT = "\n".join(DOCUMENTS.values())
#: Language and content of each code block.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
RESULTS = results.load()


def test_the_readme_names_every_model_and_the_guide_every_recipe():
    guide = DOCUMENTS[ROOT / "docs" / "training.md"]
    for model in zoo.list_models():
        assert f"`{model}`" in DOCUMENTS[ROOT / "README.md"]
        row = re.search(rf"^\| `{model}` \|.*$", guide, re.MULTILINE)[0]
        for recipe in zoo.list_recipes(model):
            assert f"`{recipe}`" in row


def test_paths_and_formats_that_are_named_exist():
    for path in re.findall(r"`((?:zoo|export|tests|benchmarks)/[\w./]+)`", TEXT):
        if path != "zoo/models/tiny.py":
            assert (ROOT / path).exists(), path
    for format_name in FORMATS:
        assert f"`{format_name}`" in TEXT


def test_the_layout_names_every_module_and_the_table_every_target():
    build = DOCUMENTS[ROOT / "BUILD.md"]
    for folder in ("zoo", "zoo/data", "zoo/training", "export"):
        for path in (ROOT / folder).glob("[!_]*.py"):
            assert re.search(rf"\b{path.name}\b", build), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.search(r"^\.PHONY: (.*)", makefile, re.M)[1].split():
        assert f"`make {target}" in build, target


def anchors(text):
    """Returns the anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)]+)\)", DOCUMENTS[path]):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text()), link


def commands():
    """Returns the command lines of the documents, in blocks and within sentences."""
    shell = "\n".join(text for language, text in BLOCKS if language == "sh")
    lines = re.sub(r"\\\n", "", shell).splitlines()
    names = "|".join(cli.COMMANDS)
    lines += re.findall(rf"`((?:python|make|pip|zoo (?:{names})) [^`]+)`", TEXT)
    ours = re.compile(r"([A-Z0-9_]+=\S+ )*(python|make|pip|zoo) ")
    found = [shlex.split(line, comments=True) for line in lines if ours.match(line)]
    return {" ".join(words): words for words in found}


@pytest.fixture
def my_data(tmp_path, monkeypatch):
    """Creates the directory of images in the documents' examples."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "my_data" / name).parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(tmp_path / "my_data" / name, np.zeros((8, 8, 3)))
        (tmp_path / "path/to/mnist").mkdir(parents=True, exist_ok=True)


@pytest.mark.parametrize("words", commands().values(), ids=" ".join)
def test_a_command_is_accepted(words, my_data):
    while "=" in words[0]:  # a variable of the environment
        words = words[1:]
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.M)
        names = [word for word in arguments if "=" not in word]
        assert names and set(names) <= set(targets)
        variables = dict(word.split("=", 1) for word in arguments if "=" in word)
        if "ARGS" in variables:
            check("train.py", shlex.split(variables["ARGS"]))
    elif program == "zoo":
        check("zoo", arguments)
    elif program == "pip":
        check_pip(arguments)
    elif arguments[0] == "-m":
        check(arguments[1], arguments[2:])
    elif arguments[0] == "-c":
        compile(" ".join(arguments[1].split()), "-c", "exec")
    else:
        check(arguments[0], arguments[1:])


def check_pip(arguments):
    """Checks that pip installs this project, an extra of it, or a tested version."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    command, *rest = arguments
    assert command == "install"
    for word in rest:
        name, extra, pin = re.fullmatch(r"([\w.-]+)(?:\[(.*)\])?(==.*)?", word).groups()
        if name == ".":
            assert extra is None or extra in extras["optional-dependencies"]
        else:
            assert f"{name}{pin}\n" in (ROOT / "requirements.txt").read_text()


def check(command, arguments):
    """Parses a command's arguments as the command does, and checks what it can."""
    if command == "zoo":
        name = arguments.pop(0) if arguments else "list"
        if name in ("train", "export"):
            return check("train.py" if name == "train" else name, arguments)
        module = importlib.import_module(f"zoo.commands.{name}")
        flags.parse([name, *arguments], "", module.FLAGS)
    elif "--help" in arguments:
        assert arguments == ["--help"]
    elif command == "train.py":
        names = {argument.partition("=")[0] for argument in arguments}
        if "--model" not in names:  # a sentence about another flag leaves it out
            arguments = ["--model=mlp", *arguments]
        if "--model=tiny" in arguments:  # tests/zoo/test_registry.py trains it
            return None
        assert flags.parse([command, *arguments], "", train.FLAGS) == []
        train.config_from_flags().check()
        parse_formats(train.FLAGS.export)
    elif command == "export":
        values = export_command.FLAGS
        assert flags.parse([command, *arguments], "", values) == []
        parse_formats(values.formats)
    elif command == "http.server":
        assert arguments[:3] == ["--bind", "127.0.0.1", "--directory"]
    elif command.startswith("examples/"):
        assert (ROOT / command).exists()
    else:
        assert command.startswith("benchmarks")
        name = "benchmarks.__main__" if command == "benchmarks" else command
        values = getattr(importlib.import_module(name), "FLAGS", flags.Flags())
        flags.parse([command, *arguments], "", values)
    return None


def test_every_flag_that_is_named_exists():
    known = set()
    for command in cli.COMMANDS:
        values = importlib.import_module(f"zoo.commands.{command}").FLAGS
        for name in values:
            known |= {name, f"no{name}"} if values[name].boolean else {name}
    others = (
        r"tensorflow_model_server.*\n.*|docker run.*|curl.*|#SBATCH.*|srun --\S+"
        r"|`--gpus-per-task.*?`|python -m (?:benchmarks|http)[^`\n]*"
    )
    named = set(re.findall(r"[ `(]--(\w+)", re.sub(others, "", TEXT))) - {"help"}
    assert named <= known, named - known


def run_python(name, **names):
    """Runs the block of Python of a document; returns the names that it defines."""
    text = DOCUMENTS[ROOT / name]
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    exec(code.replace("epochs=5", "epochs=1"), names)
    return names


def test_the_python_of_the_readme_runs(monkeypatch, data_dir, tmp_path, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", os.fspath(data_dir))
    (tmp_path / "zoo").symlink_to(ROOT / "zoo")
    monkeypatch.chdir(tmp_path)
    names = run_python("README.md")
    found = r"\[\('(\S+)', '(\w+)', (0\.\d+)\)\]"
    printed = re.findall(found, capsys.readouterr().out)
    shown = re.findall(found, DOCUMENTS[ROOT / "README.md"])
    assert [line[:2] for line in printed] == [line[:2] for line in shown]
    for ours, theirs in zip(printed, shown, strict=True):
        assert float(ours[2]) == pytest.approx(float(theirs[2]), abs=0.02)
    right = names["logits"].numpy().argmax(axis=1) == names["data"].test.y
    assert right.mean() > 0.8


def test_the_python_of_pretrained_weights_runs():
    names = run_python("docs/training.md")
    said = names["model"].predict(names["images"], verbose=0).argmax(axis=1)
    assert (said == names["labels"]).mean() > 0.9
    assert names["other"](names["images"]).shape == (200, 3)
    assert names["features"](names["images"]).shape == (200, 128)


def test_servers_mount_the_folder_of_an_export():
    served = re.findall(
        r"-e MODEL_NAME=(\w+) .*-v \$PWD/(\S+):/models/(\w+) tensorflow/serving"
        r"|--model_name=(\w+) --model_base_path=\$PWD/(\S+)",
        re.sub(r" *\\\n *", " ", TEXT),
    )
    assert len(served) == 3  # docker in two documents, and the server without it
    for name, mounted, mount, own_name, base in served:
        assert mount == name
        run = RunDir(ROOT / f"runs/{name or own_name}-mnist")
        assert run.export / "saved_model" == ROOT / (mounted or base)


def test_the_bodies_of_requests_are_json():
    bodies = [json.loads(text) for language, text in BLOCKS if language == "json"]
    pixels, encoded = (body["instances"] for body in bodies)
    assert np.shape(pixels) == (1, 3, 3, 1)
    assert list(encoded[0]) == ["b64"]


def test_the_libraries_of_phones_are_those_of_the_card():
    calls = ROOT / "export" / "templates" / "calls"
    for language, pattern in (("kotlin", r"implementation\(.*"), ("swift", r"pod '.*")):
        card = (calls / f"{language}.md.j2").read_text()
        assert re.findall(pattern, TEXT) == re.findall(pattern, card)


def test_the_calls_of_phones_reach_from_a_picture_to_its_class():
    steps = {
        "kotlin": (
            "createScaledBitmap",
            "interpreter.run",
            "quantization.zeroPoint",
            "labels[",
        ),
        "swift": (
            "image.draw",
            "interpreter.invoke",
            "quantization.zeroPoint",
            "labels[",
        ),
    }
    for language, parts in steps.items():
        text = DOCUMENTS[ROOT / "docs/export.md"]
        (code,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        places = [code.find(part) for part in parts]
        assert places == sorted(places) and places[0] > 0, language
        for pair in ("()", "[]", "{}"):
            assert code.count(pair[0]) == code.count(pair[1])


def test_the_tables_of_personalize_are_those_of_its_results():
    found = json.loads(personalize.RESULTS.read_text())
    assert personalize.table(found) in TEXT
    assert personalize.zero_table(found) in TEXT
    rows = {row["examples"]: row["device"] for row in found["runs"][0]["rows"]}
    after = np.mean([one["digits"] for one in rows[1000]])
    assert f"| {100 * after:.2f}% |" in personalize.table(found)


TABLES = {
    name: bench.section(name, result) for name, result in document.results().items()
}
TABLES["results"] = accuracy.short_table(RESULTS)
TABLES["all results"] = accuracy.table(RESULTS)
TABLES["files"] = accuracy.files_table(RESULTS)
TABLES["photographs"] = accuracy.photographs_table(RESULTS)


@pytest.mark.parametrize(
    "name", [*bench.COMPARISONS, "results", "all results", "files", "photographs"]
)
def test_a_table_is_that_of_its_results(name):
    text = document.where(name).read_text()
    assert f"<!-- {name} -->\n{TABLES.get(name, '')}<!-- /{name} -->" in text


def block(begins):
    """Returns the code block that begins with a text, continued lines joined."""
    (text,) = [text for _, text in BLOCKS if text.startswith(begins)]
    return text.replace("\\\n", "")


@pytest.fixture
def started_as(tmp_path, monkeypatch):
    """Starts a worker's command; returns its batch size, workers and index."""

    def started(command, environ):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        arguments = command[command.index("train.py") :]
        assert flags.parse(arguments, "", train.FLAGS) == []
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
    # The names and values are those of kubeflow.org/v1 TFJob and of core/v1.
    job = yaml.safe_load(block("apiVersion: kubeflow.org/v1"))
    spec = job["spec"]
    worker = spec["tfReplicaSpecs"].pop("Worker")  # the first one is the chief
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
    config = {  # the operator sets this TF_CONFIG
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
    for model in zoo.list_models():
        default = (model, "default", accuracy.datasets(model, "default")[0])
        assert default in keys


@pytest.mark.parametrize("row", RESULTS, ids=lambda r: f"{r.model}-{r.recipe}")
def test_a_result_is_of_the_recipe_as_it_is(row):
    assert 1 <= row.seeds <= len(accuracy.SEEDS)
    assert row.lowest <= row.accuracy <= row.highest
    assert row.settings == accuracy.current(row.model, row.recipe, row.dataset)
    shape = accuracy.SHAPES[row.dataset]
    model = zoo.create_model(
        row.model, input_shape=shape, num_classes=10, recipe=row.recipe
    )
    assert model.count_params() == row.parameters
    missed = accuracy.MISSES.get((row.model, row.recipe, row.dataset), ())
    assert row.artifacts.keys() == set(results.ARTIFACTS) - set(missed)
