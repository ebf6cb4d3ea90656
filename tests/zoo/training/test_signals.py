"""Tests signals that ask for a stop."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.conftest import ROOT
from zoo.training import signals

BUSY = """
import hashlib, signal
from zoo.training import signals
with signals.noticed() as stop:
    signal.raise_signal(signal.SIGINT)
    print(f"noticed {stop.signal}", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)  # half an hour of C
"""


def test_the_second_signal_does_not_wait_for_the_step():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == f"noticed {signal.SIGINT.value}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    for number in signals.SIGNALS:
        with signals.noticed() as stop:
            signal.raise_signal(number)
            assert stop.signal == number
        assert [signal.getsignal(each) for each in signals.SIGNALS] == before


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with signals.noticed() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.signal is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
