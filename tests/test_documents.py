"""Tests that the commands, names, links and tables of the documents are right."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex

import keras
import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import accuracy, document
from export.formats import FORMATS, parse_formats
from tests.conftest import ROOT
from zoo.__main__ import COMMANDS
from zoo.commands import export as export_command
from zoo.commands import flags, train
from zoo.errors import RunError, UserError
from zoo.records import results
from zoo.training import config

DOCUMENTS = {path: path.read_text() for path in document.DOCUMENTS}
TEXT = "\n".join(DOCUMENTS.values())
#: Language and content of each code block.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
#: The architecture of the guide, which the zoo does not have.
EXAMPLE = re.search(
    r"`zoo/models/(\w+)\.py`", DOCUMENTS[ROOT / "docs/adding_an_architecture.md"]
)[1]
#: The flags of our commands, by the words that begin them.
FLAGS = {
    "train.py": train.FLAGS,
    "-m export": export_command.FLAGS,
    "-m benchmarks": bench.FLAGS,
    "-m benchmarks.accuracy": accuracy.FLAGS,
    **{
        f"-m zoo {name}": importlib.import_module(f"zoo.commands.{name}").FLAGS
        for name in COMMANDS
    },
}


def test_paths_and_formats_that_are_named_exist():
    for path in re.findall(r"`((?:zoo|export|tests|benchmarks)/[\w./]+)`", TEXT):
        if path != f"zoo/models/{EXAMPLE}.py":
            assert (ROOT / path).exists(), path
    for format_name in FORMATS:
        assert f"`{format_name}`" in TEXT


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
    """Returns the words of our commands, in blocks and within sentences."""
    shell = "\n".join(text for language, text in BLOCKS if language == "sh")
    lines = re.sub(r"\\\n", "", shell).splitlines()
    lines += re.findall(r"`((?:python|make) [^`]+)`", TEXT)
    ours = re.compile(r"(?:[A-Z0-9_]+=\S+ )*((?:python|make) .+)", re.DOTALL)
    found = [match[1] for line in lines if (match := ours.match(line))]
    return [shlex.split(line, comments=True) for line in dict.fromkeys(found)]


@pytest.fixture
def my_data(tmp_path, monkeypatch):
    """Creates the directory of images in the documents' examples."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "my_data" / name).parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(tmp_path / "my_data" / name, np.zeros((8, 8, 3)))
    (tmp_path / "path/to/mnist").mkdir(parents=True)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_is_accepted(words, my_data):
    if words[0] == "make":
        targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.M)
        variables = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        names = {word for word in words[1:] if "=" not in word}
        assert names and names <= set(targets)
        assert set(variables.get("BENCH", "").split()) <= set(bench.COMPARISONS)
        if "ARGS" not in variables:
            return
        words = ["python", "train.py", *shlex.split(variables["ARGS"])]
    count = 1 if words[1] != "-m" else 3 if words[2] == "zoo" else 2
    command, arguments = " ".join(words[1 : 1 + count]), words[1 + count :]
    if command not in FLAGS:
        outside = words[1] == "-c" or words[2:3] in (["venv"], ["http.server"])
        assert outside or command == "-m zoo" or (ROOT / command).exists()
    elif not {"--help", f"--model={EXAMPLE}"} & {*arguments}:
        if command == "train.py" and not any("--model=" in word for word in arguments):
            arguments.append("--model=mlp")  # a sentence about another flag
        rest = flags.parse([command, *arguments], "", FLAGS[command])
        if command == "train.py":
            assert rest == []
            with contextlib.suppress(RunError):  # the dataset is not on this machine
                config.find(train.config_from_flags())
            parse_formats(train.FLAGS.export)
        elif command == "-m export":
            assert rest == []
            parse_formats(export_command.FLAGS.formats)
        elif command == "-m benchmarks":
            assert set(rest) <= set(bench.COMPARISONS)


def test_every_flag_that_is_named_exists():
    known = {"help"}
    for values in FLAGS.values():
        for name in values:
            known |= {name, f"no{name}"} if values[name].boolean else {name}
    others = (
        r"tensorflow_model_server.*\n.*|docker run.*|curl.*|#SBATCH.*|srun --\S+"
        r"|`--gpus-per-task.*?`|python -m http[^`\n]*"
    )
    named = set(re.findall(r"[ `(]--(\w+)", re.sub(others, "", TEXT)))
    assert named <= known, named - known


@pytest.fixture
def run_python(monkeypatch, data_dir, tmp_path):
    """Runs the Python of a document; returns the names that it defines."""
    monkeypatch.setenv("TFDS_DATA_DIR", os.fspath(data_dir))
    (tmp_path / "zoo").symlink_to(ROOT / "zoo")
    monkeypatch.chdir(tmp_path)

    def run(name):
        text, names = DOCUMENTS[ROOT / name], {}
        for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.DOTALL):
            exec(code.replace("epochs=5", "epochs=1"), names)
        return names

    return run


@pytest.mark.slow
def test_the_python_of_the_readme_runs(run_python, capsys):
    names = run_python("README.md")
    found = r"\[\('(\S+)', '(\w+)', (0\.\d+)\)\]"
    printed = re.findall(found, capsys.readouterr().out)
    shown = re.findall(found, DOCUMENTS[ROOT / "README.md"])
    assert [line[:2] for line in printed] == [line[:2] for line in shown]
    for ours, theirs in zip(printed, shown, strict=True):
        assert float(ours[2]) == pytest.approx(float(theirs[2]), abs=0.02)
    right = names["logits"].numpy().argmax(axis=1) == names["data"].test.y
    assert right.mean() > 0.8


def test_the_python_of_the_guide_to_training_runs(run_python, capsys):
    names = run_python("docs/training.md")
    said = names["model"].predict(names["images"], verbose=0).argmax(axis=1)
    assert (said == names["labels"]).mean() > 0.9
    assert names["other"](names["images"]).shape == (200, 3)
    assert names["features"](names["images"]).shape == (200, 128)
    assert "horse\n" in capsys.readouterr().out


TABLES = {
    marker: text
    for name, result in document.results().items()
    for marker, text in bench.sections(name, result).items()
}
TABLES |= accuracy.tables(results.load())


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_that_of_its_results(name):
    text = document.where(name).read_text()
    assert f"<!-- {name} -->\n{TABLES[name]}<!-- /{name} -->" in text


def test_a_table_is_written_between_its_markers(tmp_path, monkeypatch):
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    monkeypatch.setattr(document, "DOCUMENTS", [path])
    document.rewrite("t", document.table(["name", "n:"], [["a", "1"]]))
    table = "| name | n |\n| --- | ---: |\n| a | 1 |\n"
    assert path.read_text() == f"before\n<!-- t -->\n{table}<!-- /t -->\nafter\n"
    with pytest.raises(UserError, match="No document has markers <!-- u -->"):
        document.rewrite("u", "new\n")
