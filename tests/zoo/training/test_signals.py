"""Tests signals during a long call in C++, such as one of many steps."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT
from zoo.training import signals

BUSY = """
import hashlib
from zoo.training import signals
with signals.noticed():
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # half an hour of C
"""


@pytest.mark.parametrize(
    ("second", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_the_second_signal_does_not_wait_for_the_step(second, code):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    bound = threading.Timer(20, process.kill)
    bound.start()
    try:
        assert process.stdout.readline() == "busy\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline().startswith("Stopping after this step; ")
        process.send_signal(second)
        assert process.wait(timeout=5) == code
    finally:
        bound.cancel()
        process.kill()
        process.communicate()


def test_handlers_are_put_back(capfd):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with signals.noticed() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
    assert capfd.readouterr().err.count("Stopping after this step") == 1
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
    assert signal.set_wakeup_fd(-1) == -1


def test_ignored_signals_stay_ignored(capfd):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.noticed() as stop:
            signal.raise_signal(signal.SIGINT)
        assert stop.signal is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""
