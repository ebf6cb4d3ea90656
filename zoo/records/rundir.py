"""The run directory: its lock, its files, and whether a run may resume in it."""

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
import numpy as np

from zoo import files
from zoo.data.source import RESIZES, UNRECORDED_RESIZE
from zoo.errors import RunError, UserError
from zoo.files import check_numbers, check_texts


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
        self.sample = self.path / "sample.npz"
        self.backup = self.path / "backup"
        self.plots = self.path / "plots"
        self.tensorboard = self.path / "tensorboard"
        self.export = self.path / "export"
        # --overwrite removes these and nothing else. config.json goes last, because it
        # marks the directory as that of a run.
        self._owned = [self.metrics, self.result, self.model, self.sample, self.backup]
        self._owned += [self.plots, self.tensorboard, self.export, self.config]
        self._lock = filelock.FileLock(self.path / ".lock")

    def check_usable(self) -> None:
        """Raises the errors that entering ``locked`` would raise, without writing."""
        if (self.path / ".lock").exists():
            with self.locked():
                pass
        else:
            self._check_place()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the directory for this process; the lock ends with the process."""
        self._check_place()
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
        try:
            yield
        except BrokenPipeError:  # stdout is closed, which has nothing to do with files
            raise
        except OSError as error:
            kept = "The last good backup is unharmed: then run"
            if not any(self.backup.glob("step-*.npz")):
                kept = "Then run"
            raise RunError(
                f"Writing to {self.path} failed: {error.strerror or error} "
                f"({error.filename or self.path}). Make it writable, with space. "
                f"{kept} the same command again."
            ) from error
        finally:
            self._lock.release()

    def _check_place(self) -> None:
        """Raises UserError or RunError if no run can be written here."""
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
                f"--run_dir is not a path: {error.strerror}. Received: {self.path}."
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
        if self.config.exists() or not self.path.exists():
            return
        present = {entry for entry in self.path.iterdir() if entry.name != ".lock"}
        if strangers := present - set(self.path.glob(files.BESIDE)):
            names = ", ".join(sorted(entry.name for entry in strangers)[:3])
            raise UserError(
                f"{self.path} has files in it but is not a run directory: {names}. "
                "Choose another --run_dir."
            )

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return self.result.exists()

    def claim(self, identity: Mapping[str, Any], *, overwrite: bool) -> None:
        """Ensures that the locked directory is empty or holds this run.

        Args:
            identity: the part of config.json that distinguishes a run from others.
            overwrite: whether to remove another run (and no other files) instead of
                refusing.
        """
        for leftover in self.path.glob(files.BESIDE):  # from a killed process
            leftover.unlink()
        for entry in self._owned if overwrite else ():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        if not self.config.exists():
            return
        before = self.read_config()["identity"]
        # JSON turns tuples into lists.
        now = json.loads(json.dumps(identity))
        if before["dataset_fingerprint"] == now["dataset_fingerprint"]:
            before["dataset"] = now["dataset"]  # the data may have moved
        digests = [(each.get("weights") or {}).get("sha256") for each in (before, now)]
        if digests[0] and digests[0] == digests[1]:
            before["weights"] = now["weights"]  # by another name
        if changes := differences(before, now):
            raise UserError(
                f"{self.path} holds a run of another configuration ("
                f"{'; '.join(changes)}). Choose another --run_dir, or pass --overwrite "
                "to replace it."
            )

    def read_config(self) -> dict[str, Any]:
        """Reads config.json; raises UserError if the content is invalid."""
        content = files.read_json(self.config, _check_config)
        content["identity"].setdefault("resize", UNRECORDED_RESIZE)
        return content

    def read_result(self) -> dict[str, Any]:
        """Reads result.json; raises UserError if the content is invalid."""
        return files.read_json(self.result, _check_result)

    def read_sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Reads sample.npz: uint8 images (n, height, width, channels) and classes."""
        try:
            with np.load(self.sample, allow_pickle=False) as file:
                return file["x"], file["y"].astype(np.int32)
        except Exception as error:  # whatever NumPy's zip and header readers raise
            raise UserError(f"{self.sample} cannot be used: {error}.") from None

    def exported_sha256(self, path: pathlib.Path) -> str | None:
        """Returns the checksum in export.json of a file below; None if there is none.

        The schema of export.json belongs to the package export; this reads two keys.
        """
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((self.export / "export.json").read_bytes())
            for record in content["artifacts"]:
                if (self.export / record["path"]).samefile(path):
                    return record["sha256"]
        return None

    def remove_backup(self) -> None:
        """Removes the backups, which only an unfinished run needs."""
        shutil.rmtree(self.backup, ignore_errors=True)


def _given(content: Mapping[str, Any], *keys: str) -> list[str]:
    """Returns the keys that have a value."""
    return [key for key in keys if content.get(key) is not None]


def _check_config(content: dict[str, Any]) -> None:
    identity, data = content["identity"], content["data"]
    check_texts(identity, "model", "recipe", "dataset_fingerprint")
    check_numbers(identity, "seed", whole=True)
    check_numbers(identity["settings"], "num_examples", whole=True)
    check_numbers(identity, *_given(identity, "validation"))
    if "resize" in identity and identity["resize"] not in RESIZES:
        raise ValueError(
            f"identity.resize must be one of {', '.join(RESIZES)}. Received: "
            f"{str(identity['resize'])[:80]}"
        )
    check_texts(content, "dataset_used", *_given(content, "data_dir"))
    if brightness := content.get("brightness"):
        check_numbers(brightness, "lowest", "highest")
    shape, names = data["input_shape"], data["class_names"]
    size = content.get("image_size") or []
    check_texts(names, *range(len(names)))
    check_numbers(shape, *range(len(shape)), whole=True)
    check_numbers(size, *range(len(size)), whole=True)
    is_image = len(shape) == 3 and shape[2] in (1, 3)
    if shape != [1] and not (is_image and all(1 <= side <= 4096 for side in shape)):
        raise ValueError(
            "data.input_shape must be height, width (1 to 4096) and 1 or 3 channels. "
            f"Received: {str(shape)[:80]}"
        )


def _check_result(content: dict[str, Any]) -> None:
    check_texts(content, "model", "recipe", "dataset", "dataset_requested")
    check_numbers(content, "num_params", "num_train_examples", "num_test_examples")
    check_numbers(content, "train_seconds", "steps", "examples_per_second")
    if strategy := content.get("strategy"):
        check_texts(strategy, "name")
        check_numbers(strategy, "replicas", "workers")
    if "learned" not in content:
        check_numbers(content["test"], "accuracy")
        return
    check_numbers(content["test"], "loss")
    for line in ("learned", "true", "least_squares"):
        check_numbers(content[line], "weight", "bias")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lists the differences between two configurations as ``key: old -> new``."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if (
            isinstance(before, Mapping)
            and isinstance(after, Mapping)
            and before.get("name") == after.get("name")
        ):
            lines += [f"{key}.{line}" for line in differences(before, after)]
        elif before != after:
            lines.append(f"{key}: {_named(before)} -> {_named(after)}")
    return lines


def _named(value: Any) -> Any:
    """Returns the name in a value that has one, such as pretrained weights."""
    return value.get("name", value) if isinstance(value, Mapping) else value


def runs_beside(path: str | os.PathLike[str]) -> list[str]:
    """Lists the runs in the parent directory of ``path``, sorted."""
    parent = pathlib.Path(path).parent
    with contextlib.suppress(OSError):  # a name that is too long, before Python 3.12
        configs = parent.absolute().glob("*/config.json")
        return sorted(str(parent / config.parent.name) for config in configs)
    return []


def run_of_model(path: pathlib.Path) -> RunDir | None:
    """Returns the run whose model.keras a file is; None for any other file."""
    run = RunDir(path.parent)
    return run if path == run.model and run.config.exists() else None


def finished_run(run_dir: str | os.PathLike[str]) -> RunDir:
    """Returns the run in a directory."""
    run = RunDir(run_dir)
    # For names that are too long, pathlib raises before Python 3.12; os.path does not.
    if not os.path.isdir(run.path):  # noqa: PTH112
        names = runs_beside(run.path)
        there = f" Runs beside it: {', '.join(names[:20])}." if names else ""
        raise UserError(f"There is no run directory {run.path}.{there}")
    if not run.config.exists():
        raise UserError(f"{run.path} is not a run: it has no config.json.")
    if not run.finished:
        raise UserError(
            f"The run in {run.path} is not finished. Run its training command again."
        )
    return run
