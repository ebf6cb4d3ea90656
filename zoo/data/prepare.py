"""Prepares TFDS datasets: one process at a time, every failure in one line."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from zoo.data import reach
from zoo.errors import RunError, UserError, ZooError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_DEFAULT_SITE = "https://storage.googleapis.com/"
_read_only = contextvars.ContextVar("_read_only", default=False)


@contextlib.contextmanager
def read_only() -> Iterator[None]:
    """Where a file names the data directory, not the user: nothing is written to it."""
    token = _read_only.set(True)
    try:
        yield
    finally:
        _read_only.reset(token)


def prepared(
    make: Callable[[], tfds.core.DatasetBuilder],
    *,
    root: Path,
    what: str,
    progress: bool = False,
) -> tfds.core.DatasetBuilder:
    """Returns a builder whose data are on disk, preparing them if they are not.

    Prepared data are used without writing anything, so ``root`` may be read-only.

    Args:
        make: constructs the builder; called again when another process may have
            prepared the data meanwhile.
        root: the data directory.
        what: the dataset's name, for messages.
        progress: show TFDS's progress bars.

    Raises:
        UserError: the data directory cannot be written.
        RunError: preparing failed.
    """
    builder = make()
    if builder.is_prepared():
        return builder
    with lock(root, builder.name):
        builder = make()
        if not builder.is_prepared():
            run(builder, what=what, progress=progress)
    return builder


@contextlib.contextmanager
def lock(root: Path, name: str) -> Iterator[None]:
    """Keeps other processes from preparing datasets of that name in ``root``.

    Raises:
        UserError: the data directory cannot be written, or must not be.
    """
    import filelock

    if _read_only.get():
        raise UserError(
            f"{name} is not prepared in the data directory {root}, and only reading "
            "was asked for. Train with that --data_dir to prepare it."
        )

    path = root / f".{name}.lock"
    guard = filelock.FileLock(path, mode=0o666)  # Others may share the directory.
    try:
        root.mkdir(parents=True, exist_ok=True)
        guard.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Cannot write to the data directory {root}: {reason}.") from (
            error
        )
    try:
        yield
    finally:
        guard.release()


def run(builder: tfds.core.DatasetBuilder, *, what: str, progress: bool) -> None:
    """Downloads and prepares; call it under ``lock``.

    Raises:
        RunError: whatever went wrong, in one line.
    """
    import tensorflow_datasets as tfds

    (tfds.enable_progress_bar if progress else tfds.disable_progress_bar)()
    # TFDS prints where it prepares to, which belongs to the bars.
    silent = contextlib.redirect_stdout(io.StringIO())
    quiet = contextlib.nullcontext() if progress else silent
    try:
        with quiet:
            builder.download_and_prepare()
    except ZooError:
        raise
    except Exception as error:  # From the network, the disk or one of many builders.
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason = "no space is left on the disk"
        else:
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0][:300]}"
        raise RunError(
            f"Preparing the dataset {what!r} in {builder.data_dir_root} failed: "
            f"{reason}"
        ) from error


def is_reachable(builder: tfds.core.DatasetBuilder) -> bool:
    """Whether a host that the dataset is downloaded from answers now."""
    return reach.any_reachable(probed_sites(builder))


def probed_sites(builder: tfds.core.DatasetBuilder) -> list[str]:
    """Returns the sites that ``is_reachable`` asks."""
    return reach.sites(builder.url_infos or ()) or [_DEFAULT_SITE]


def offline_error(what: str, builder: tfds.core.DatasetBuilder) -> RunError:
    """Says what to do about a dataset that can neither be read nor downloaded."""
    root = builder.data_dir_root
    hosts = ", ".join(site.split("/")[2] for site in probed_sites(builder))
    return RunError(
        f"Dataset {what!r} is not prepared in {root} and cannot be downloaded (no "
        f"answer from {hosts}): prepare it on a machine with a network and copy "
        f"{root / builder.name}, pass a local directory as the dataset, "
        "or use --dataset=digits, which needs no network."
    )


def damaged_error(
    what: str, directory: object, error: Exception, file: Path | None = None
) -> RunError:
    """Names the prepared data that cannot be read, and says what to do."""
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return RunError(
        f"The prepared data of {what!r} in {directory} are damaged; delete that "
        f"directory to prepare them anew: {f'{file}: ' if file else ''}"
        f"{message.strip().splitlines()[0][:300]}"
    )


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silences TFDS's warnings, which are about its own old code or ours to handle.

    As of TFDS 4.9.10 reading a dataset warns that ``FeatureConnector.dtype`` is
    deprecated, and asking whether one is prepared warns that it is not.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
