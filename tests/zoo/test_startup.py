"""Tests the filter of TensorFlow's start-up log, and the number of CPUs."""

from __future__ import annotations

import os
import re
import threading
import time

import pytest

from tests.conftest import ROOT
from zoo import startup

NOISE = "I0000 00:00:1700000000.000000  1 cpu_feature_guard.cc:227] optimized"


def in_quiet(command, body, **options):
    """Runs code with quiet_stderr in a separate process."""
    code = f"import os, signal, sys\nfrom zoo import startup\n{body}"
    return command("-c", code, **options)


@pytest.mark.parametrize(
    "end",
    [
        "os.abort()",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(3)",
        "sys.exit(3)",
    ],
)
def test_what_is_written_before_the_end_is_not_lost(command, end):
    body = (
        "with startup.quiet_stderr():\n"
        f"    os.write(2, b'{NOISE}\\n F0000 fatal: no such kernel')\n"
        f"    {end}\n"
    )
    done = in_quiet(command, body)
    assert done.returncode != 0
    assert done.stderr == " F0000 fatal: no such kernel"


def test_everything_but_noise_is_passed_on_in_order(command):
    body = (
        "print('before', file=sys.stderr)\n"
        "with startup.quiet_stderr():\n"
        "    print('first', file=sys.stderr)\n"
        "    with startup.quiet_stderr():\n"
        f"        print('{NOISE}', file=sys.stderr)\n"
        "    os.write(2, b'second\\n')\n"
        "print('after', file=sys.stderr)\n"
    )
    done = in_quiet(command, body)
    assert done.stderr.split() == ["before", "first", "second", "after"]


def test_a_line_is_passed_on_at_once_and_no_process_stays():
    reading, writing = os.pipe()
    kept = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(os.read(reading, 100)))
    reader.start()
    try:
        with startup.quiet_stderr():
            os.write(2, b"a warning\n")
            reader.join(20)
            assert seen == [b"a warning\n"]
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    # The pipe has ended, so the filter has closed it.
    assert os.read(reading, 100) == b""
    os.close(reading)


@pytest.mark.parametrize(
    "body",
    [
        "os.close(2)\nwith startup.quiet_stderr(): print('done')",
        "sys.stderr = None\nwith startup.quiet_stderr(): print('done')",
        "sys.executable = ''\nwith startup.quiet_stderr(): print('done')",
    ],
)
def test_a_process_without_stderr_goes_on(command, body):
    assert in_quiet(command, body).stdout == "done\n"


def test_a_child_that_lives_on_does_not_keep_its_parent(command):
    body = (
        "import subprocess\n"
        "with startup.quiet_stderr():\n"
        "    child = subprocess.Popen(['sleep', '30'], stdout=subprocess.DEVNULL)\n"
        "print('done', flush=True)\n"
        "child.kill()\n"
    )
    start = time.monotonic()
    assert in_quiet(command, body).stdout == "done\n"
    assert time.monotonic() - start < 15


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has it")
@pytest.mark.parametrize(("threads", "expected"), [("", 1), ("3", 3), ("0", 1)])
def test_cpus_are_those_that_the_process_may_use(command, threads, expected):
    body = "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    done = in_quiet(
        command, body + "print(startup.cpus())", TF_NUM_INTRAOP_THREADS=threads
    )
    assert done.stdout == f"{expected}\n"


def test_programs_that_import_the_zoo_start_without_noise(command, tmp_path):
    code = (
        "import zoo; zoo.list_recipes('mlp');"
        "data = zoo.load_dataset('digits', data_dir='data');"
        "shape = data.spec.input_shape;"
        "zoo.create_model('mlp', input_shape=shape, num_classes=10).save('a.keras');"
        "import export; export.export_run;"
        "print(len(data.test.y))"
    )
    done = command("-c", code)
    assert (done.stdout, done.stderr) == ("360\n", "")


def test_tensorboard_starts_without_noise(command):
    pattern = r"^TENSORBOARD := ((?:.*\\\n)*.*)"
    (code,) = re.findall(pattern, (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = command("-c", code.replace("\\\n", ""), "--version_tb")
    assert re.fullmatch(r"2\.\d+\.\d+\n", done.stdout)
    assert done.stderr == ""


def test_a_command_starts_without_sklearn_and_matplotlib_and_can_import_them(command):
    body = (
        "startup.start()\n"
        "print({'matplotlib', 'sklearn'} & sys.modules.keys())\n"
        "import matplotlib.pyplot, sklearn.metrics\n"
    )
    done = in_quiet(command, body)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["set()"]


def test_keras_finds_sklearn_and_matplotlib_in_a_program_of_a_user(command):
    body = (
        "import zoo\n"
        "zoo.create_model('linear', weights='mnist')\n"
        "from keras.src.wrappers import utils\n"
        "from keras.src.visualization import plot_image_gallery as gallery\n"
        "print(utils.sklearn.__name__, gallery.plt.__name__)\n"
    )
    done = in_quiet(command, body)
    assert done.stdout.split() == ["sklearn", "matplotlib.pyplot"], done.stderr
