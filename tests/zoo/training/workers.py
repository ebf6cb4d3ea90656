"""Starts several workers of a training; as a program, it is one of them.

The program trains the cases of a JSON file one after the other and writes the weights
of each worker beside the run directory.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).parents[3]


def free_ports(count: int) -> list[int]:
    """Returns free ports of 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def started(
    count: int, arguments: Sequence[str], directory: pathlib.Path
) -> Iterator[list[subprocess.Popen]]:
    """Starts ``python *arguments`` ``count`` times; kills the processes at the end."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    processes = []
    try:
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            env.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the tests set it for themselves
            processes.append(
                subprocess.Popen(
                    [sys.executable, *arguments],
                    cwd=directory,
                    env=env | {"TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(
    processes: Sequence[subprocess.Popen], timeout: float
) -> list[tuple[int, str, str]]:
    """Waits for all processes; returns the exit code, stdout and stderr of each."""
    end = time.monotonic() + timeout
    results = []
    for process in processes:
        out, err = process.communicate(timeout=max(0.1, end - time.monotonic()))
        results.append((process.returncode, out, err))
    return results


def _worker(path: pathlib.Path) -> None:
    import numpy as np

    from zoo import startup
    from zoo.training import cluster

    startup.start(alone=False)
    # TensorFlow warns about many tracings, but many models in one process need them.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from zoo.training import trainer
    from zoo.training.config import Config

    index = cluster.find("auto").index
    fit = trainer._fit

    def recorded(job, model, copy):
        result = fit(job, model, copy)
        arrays = {str(i): w for i, w in enumerate(copy.get_weights())}
        np.savez(f"{job.run.path}-{index}.npz", **arrays)
        return result

    trainer._fit = recorded
    for fields in json.loads(path.read_text()):
        trainer.train(Config(**fields))


if __name__ == "__main__":
    _worker(pathlib.Path(sys.argv[1]))
