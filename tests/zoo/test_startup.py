"""Tests how TensorFlow starts, the filter of its log, and the number of CPUs."""

from __future__ import annotations

import os
import threading

import pytest

from zoo import startup

NOISE = b"I0000 00:00:1700000000.000000  1 cpu_feature_guard.cc:227] optimized\n"


def test_everything_but_noise_appears_in_order(command):
    body = (
        "import os, sys\n"
        "from zoo import startup\n"
        "print('before', file=sys.stderr)\n"
        "with startup.quiet():\n"
        "    print('first', file=sys.stderr)\n"
        f"    os.write(2, {NOISE})\n"
        "    os.write(2, b'second\\n')\n"
        "print('after', file=sys.stderr)\n"
    )
    assert command("-c", body).stderr.split() == ["before", "first", "second", "after"]


def test_an_error_in_the_block_loses_nothing(capfd):
    with pytest.raises(ZeroDivisionError), startup.quiet():
        os.write(2, NOISE + b"F0000 fatal: no such kernel")
        1 / 0  # noqa: B018
    os.write(2, b", after")
    assert capfd.readouterr().err == "F0000 fatal: no such kernel, after"


def test_blocks_within_a_block_and_in_another_thread_have_no_effect(capfd):
    def write():
        with startup.quiet():
            os.write(2, NOISE + b"second\n")

    with startup.quiet():
        os.write(2, b"first\n")
        with startup.quiet():
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
        os.write(2, NOISE + b"third\n")
    os.write(2, NOISE)
    said = capfd.readouterr().err
    assert said == "first\nsecond\nthird\n" + NOISE.decode()


def test_a_process_without_stderr_goes_on(command):
    body = (
        "import os, sys\n"
        "from zoo import startup\n"
        "sys.stderr = None\n"
        "with startup.quiet(): print('no object')\n"
        "os.close(2)\n"
        "with startup.quiet(): print('no descriptor')\n"
    )
    assert command("-c", body).stdout == "no object\nno descriptor\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux has it")
@pytest.mark.parametrize(("threads", "expected"), [("", 1), ("3", 3), ("0", 1)])
def test_cpus_are_those_that_the_process_may_use(monkeypatch, threads, expected):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [min(before)])
    try:
        assert startup.cpus() == expected
    finally:
        os.sched_setaffinity(0, before)


def test_programs_that_import_the_zoo_start_without_noise_and_with_sklearn(command):
    code = (
        "import zoo; zoo.list_recipes('mlp');"
        "data = zoo.load_dataset('digits', data_dir='data');"
        "shape = data.spec.input_shape;"
        "model = zoo.create_model('mlp', input_shape=shape, num_classes=10);"
        "model.save('a.keras');"
        "import keras; keras.wrappers.SKLearnClassifier(model);"
        "import export; export.export_run;"
        "print(len(data.test.y))"
    )
    done = command("-c", code)
    assert (done.stdout, done.stderr) == ("360\n", "")


def test_a_command_starts_without_sklearn_and_matplotlib_and_can_import_them(command):
    body = (
        "import sys\n"
        "from zoo import startup\n"
        "startup.start()\n"
        "print({'matplotlib', 'sklearn'} & sys.modules.keys())\n"
        "import matplotlib.pyplot, sklearn.metrics\n"
    )
    done = command("-c", body)
    assert (done.stdout, done.stderr) == ("set()\n", "")
