"""The run directory: who owns it, what is in it, whether a run may go on there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import filelock

from zoo import files
from zoo.errors import RunError, UserError

# What a run may own. --overwrite removes these and nothing else.
_OURS = (
    "metrics.csv",
    "result.json",
    "model.keras",
    "backup",
    "tensorboard",
    "plots",
    "export",
    "config.json",  # last: while it is there, the rest is a run's
)

# What is read again of a run's files, which people may have edited: see ``_check``.
_CONFIG = {
    "identity": {
        **{"model": str, "recipe": str, "dataset_fingerprint": str, "seed": int},
        "settings": {"num_examples": int},
    },
    "data": {"class_names": [str], "input_shape": [int]},
    **{"dataset_used": str, "data_dir": (str,), "image_size": ([int],)},
}
_LINE = {"weight": float, "bias": float}
_RESULT = {
    **dict.fromkeys(("model", "recipe", "dataset", "dataset_requested"), str),
    **dict.fromkeys(("num_params", "num_train_examples", "num_test_examples"), int),
    **{"train_seconds": float, "steps": int, "examples_per_second": int},
}
_CLASSIFICATION = {"test": {"accuracy": float}}
_REGRESSION = {"test": {"loss": float}, "learned": _LINE, "least_squares": _LINE}
_TENSOR = {"name": str, "dtype": str, "shape": list}
_TRAINING = {
    **{"optimizer": str, "batch_size": int, "parameter_bytes": int},
    **{"step_ms": float, "memory_bytes": int, "steps": int},
    **{"max_loss_error": float, "max_weight_error": float},
}
_ARTIFACT = {
    **{"name": str, "format": str, "path": str, "sha256": str, "bytes": int},
    **{"accuracy": (float,), "agreement": (float,), "max_abs_error": (float,)},
    **{"latency_ms": {"median": float}, "input": _TENSOR, "output": _TENSOR},
    "training": (_TRAINING,),
}
_PAGE = {"format": str, "path": str, "sha256": str, "litert": str, "bytes": int}
_EXPORT = {
    **{"model_sha256": str, "artifacts": [_ARTIFACT], "left_out": dict},
    "page": (_PAGE,),
}


class RunDir:
    """Paths and state of a run directory.

    Args:
        path: the directory; it need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.csv"
        self.result = self.path / "result.json"
        self.model = self.path / "model.keras"
        self.backup = self.path / "backup"
        self.plots = self.path / "plots"
        self.tensorboard = self.path / "tensorboard"
        self.export = self.path / "export"
        self._lock = filelock.FileLock(self.path / ".lock")

    def check_writable(self) -> None:
        """Raises UserError unless the directory can be made or written."""
        try:
            if self.path.exists() and not self.path.is_dir():
                raise UserError(f"--run_dir is not a directory. Received: {self.path}.")
            place = self.path.absolute()
            while not place.exists():
                place = place.parent
            read_only = place.is_dir() and os.statvfs(place).f_flag & os.ST_RDONLY
            writable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
        except OSError as error:  # a name that is too long, before Python 3.12
            raise UserError(
                f"--run_dir is no path: {error.strerror}. Received: {self.path}."
            ) from None
        if read_only:
            raise RunError(
                f"The file system of --run_dir={self.path} is read-only. Choose "
                "another --run_dir."
            )
        if not writable:
            raise UserError(
                "The run directory cannot be written. Received: "
                f"--run_dir={self.path}. Choose another, or change its permissions."
            )

    def check_free(self) -> None:
        """Raises RunError if another process works in the directory. Writes nothing."""
        if (self.path / ".lock").exists():
            self.lock()
            self.unlock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory; what cannot be written in it becomes a RunError."""
        self.lock()
        try:
            yield
        except BrokenPipeError:  # nobody reads what is printed: not about files
            raise
        except OSError as error:
            kept = "The last good backup is as it was: then run"
            if not any(self.backup.glob("step-*.json")):
                kept = "Then run"
            raise RunError(
                f"Writing to {self.path} failed: {error.strerror or error} "
                f"({error.filename or self.path}). Make it writable, with space. "
                f"{kept} the same command again."
            ) from error
        finally:
            self.unlock()

    def lock(self) -> None:
        """Takes the directory for this process; the lock dies with it.

        Raises:
            UserError: it cannot be written.
            RunError: another process has it, or the disk is full.
        """
        self.check_writable()
        self.check_content()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except filelock.Timeout:
            raise RunError(
                f"Another process is working in {self.path}. Wait for it, or choose "
                "another --run_dir."
            ) from None
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise (RunError if full else UserError)(
                "The run directory cannot be written. Received: "
                f"--run_dir={self.path} ({error.strerror}). Choose another."
            ) from None

    def unlock(self) -> None:
        """Gives the directory back."""
        self._lock.release()

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.result.exists()

    def claim(self, identity: Mapping[str, Any], *, overwrite: bool) -> None:
        """Makes sure that what is in the directory is this very run, or nothing.

        Args:
            identity: the part of config.json that makes a run what it is.
            overwrite: remove another run instead of refusing.

        Raises:
            UserError: another configuration, or files that are not a run's.
        """
        self.check_content()
        for leftover in self.path.glob(files.BESIDE):  # of a process that was killed
            leftover.unlink()
        if overwrite:
            self.clear()
        if not self.config.exists():
            return
        before = self.read_config()["identity"]
        # As JSON has it: without tuples.
        changes = differences(before, json.loads(json.dumps(identity)))
        if changes:
            raise UserError(
                f"{self.path} holds a run of another configuration ("
                f"{'; '.join(changes)}). Choose another --run_dir, or pass --overwrite "
                "to replace it."
            )

    def check_content(self) -> None:
        """Raises UserError if what is in the directory is not a run's."""
        if self.config.exists() or not self.path.exists():
            return
        present = {entry for entry in self.path.iterdir() if entry.name != ".lock"}
        if strangers := present - set(self.path.glob(files.BESIDE)):
            names = ", ".join(sorted(entry.name for entry in strangers)[:3])
            raise UserError(
                f"{self.path} has files in it but is not a run directory: {names}. "
                "Choose another --run_dir."
            )

    def clear(self) -> None:
        """Removes what a run has written here, and nothing else.

        The directory must be a run's, see ``check_content``.
        """
        for name in _OURS:
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)

    def read_config(self) -> dict[str, Any]:
        """Reads config.json.

        Raises:
            UserError: it is not what a run has written.
        """
        return _read(self.config, _CONFIG)

    def read_result(self) -> dict[str, Any]:
        """Reads result.json.

        Raises:
            UserError: it is not what a run has written.
        """
        result = _read(self.result, _RESULT)
        kind = _REGRESSION if "learned" in result else _CLASSIFICATION
        _check(self.result, result, kind)
        return result

    def read_export(self) -> dict[str, Any] | None:
        """Reads export/export.json, if there is one.

        Raises:
            UserError: it is not what an export has written.
        """
        path = self.export / "export.json"
        return _read(path, _EXPORT) if path.exists() else None

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Writes result.json, which makes the run a finished one."""
        files.write_json(self.result, result)
        self.remove_backup()

    def remove_backup(self) -> None:
        """Removes what only an unfinished run needs."""
        shutil.rmtree(self.backup, ignore_errors=True)


def _read(path: pathlib.Path, form: Mapping[str, Any]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # What cannot be written again, as half a surrogate, cannot be printed.
        json.dumps(content, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Is {path.parent} a run?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from None
    _check(path, content, form)
    return content


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lists what differs between two configurations, ``key: old -> new``."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += [f"{key}.{line}" for line in differences(before, after)]
        elif before != after:
            lines.append(f"{key}: {before} -> {after}")
    return lines


def _check(path: pathlib.Path, value: Any, form: Any, where: str = "") -> None:
    """Raises UserError unless a value of a JSON file has the form that is needed.

    Args:
        path: the file, for the message.
        value: what it holds.
        form: a type (float stands for any number of sensible size), an object as
            keys and their forms, a list as [form], or (form,) for one that may be
            null or missing.
        where: the key that holds the value, for the message.
    """
    if isinstance(form, tuple):
        if value is not None:
            _check(path, value, form[0], where)
        return
    kind = form if isinstance(form, type) else type(form)
    if not _is(value, kind):
        raise UserError(
            f"{path} has been edited: {where or 'it'} must be of type "
            f"{kind.__name__}. Received: {str(value)[:80]}."
        )
    if isinstance(form, dict):
        for key, inner in form.items():
            _check(path, value.get(key), inner, f"{where}.{key}" if where else key)
    elif isinstance(form, list):
        for item in value:
            _check(path, item, form[0], where)


def _is(value: Any, kind: type) -> bool:
    if kind not in (int, float):
        return isinstance(value, kind)
    kinds = (int, float) if kind is float else int
    # No string form of a number beyond that is of any use; NaN is below nothing.
    return (
        isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < 1e15
    )


def finished_run(run_dir: str | os.PathLike[str]) -> RunDir:
    """Returns the run in a directory.

    Raises:
        UserError: there is none, or it is not finished.
    """
    run = RunDir(run_dir)
    # os.path answers False where pathlib raises: names too long, before Python 3.12.
    if not os.path.isdir(run.path):  # noqa: PTH112
        raise UserError(f"There is no run directory {run.path}.")
    if not run.config.exists():
        raise UserError(f"{run.path} is not a run: it has no config.json.")
    if not run.finished:
        raise UserError(
            f"The run in {run.path} is not finished. Run its training command again."
        )
    return run
