"""The front door of the data: a name or a directory in, a Dataset out.

TensorFlow is imported only when data are read.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.data import local, names, prepare
from zoo.data.dataset import Dataset
from zoo.errors import UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

__all__ = ["Choice", "check_name", "load", "resolve"]

_SUBSTITUTED = "mnist"  # The only default that something else may stand in for.
_LOCAL_VERSION = "1.0.0"


@prepare.without_warnings()
def check_name(dataset: str, data_dir: str | None) -> None:
    """Checks that a dataset of that name, or such a directory, exists.

    Args:
        dataset: a name (``digits``, ``mnist``, ``emnist/letters``, ``mnist:3.0.1``)
            or the path of a local directory.
        data_dir: where prepared datasets are kept; None for TFDS's default.

    Raises:
        UserError: unknown name, configuration or version, not a dataset of labeled
            images, or a directory that is missing, empty or unreadable.
    """
    names.check_name(dataset, data_dir)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which dataset was asked for, which one is used, and why another.

    Attributes:
        requested: the name asked for, or the default when none was.
        used: the name to load.
        name: what ``DataSpec.name`` will be.
        reason: why ``used`` is another than ``requested``; None if it is not.
    """

    requested: str
    used: str
    name: str
    reason: str | None = None


@prepare.without_warnings()
def resolve(dataset: str | None, *, default: str, data_dir: str | None) -> Choice:
    """Decides which dataset to use, before anything is written or downloaded.

    A dataset asked for by name is never replaced. The default ``mnist`` gives way
    to ``digits`` when it is neither prepared nor reachable: warn about it.

    Args:
        dataset: what the user asked for, or None.
        default: the name to use when ``dataset`` is None.
        data_dir: where prepared datasets are kept; None for TFDS's default.

    Raises:
        UserError: see ``check_name``; also a directory with mistakes in it.
        RunError: asked for by name, not prepared, and no host answers.
    """
    name = default if dataset is None else dataset
    check_name(name, data_dir)
    root = names.data_root(data_dir)
    if name in names.OWN:
        return Choice(name, name, name)
    if names.is_directory(name):
        source = local.open_directory(name)
        if not _local_path(source, root, None).exists():
            source.files.check()
        return Choice(name, name, source.name)
    builder = names.tfds_builder(name, root)
    if builder.is_prepared() or prepare.is_reachable(builder):
        return Choice(name, name, _tfds_name(builder))
    if dataset is not None or default != _SUBSTITUTED:
        raise prepare.offline_error(name, builder)
    hosts = ", ".join(url.split("/")[2] for url in prepare.probed_sites(builder))
    reason = f"{name} is not prepared in {root}, and {hosts} does not answer"
    return Choice(name, names.DIGITS, names.DIGITS, reason)


@prepare.without_warnings()
def load(
    choice: Choice | str,
    *,
    data_dir: str | None = None,
    image_size: tuple[int, int] | None = None,
    num_examples: int = 1000,
    seed: int = 0,
    progress: bool = False,
    memory_limit: int | None = None,
) -> Dataset:
    """Loads a dataset into memory, preparing it when that was not done before.

    Several processes may load the same dataset at once: one prepares it.

    Args:
        choice: what ``resolve`` returned, a name, or a directory's path.
        data_dir: where prepared datasets are kept; None for TFDS's default.
        image_size: (height, width) to resize images to, bilinear with antialiasing;
            None for the dataset's own or, where images differ, the first one's.
        num_examples: training examples of ``linear_regression``.
        seed: of ``linear_regression``, 0 or more.
        progress: show TFDS's messages and progress bars.
        memory_limit: bytes; a split of images that needs more stays on disk, see
            ``zoo.data.cache``. None to refuse what does not fit in memory.

    Returns:
        uint8 images with int32 labels, in file order; or float32 x and y.

    Raises:
        UserError: unknown name, mistakes in a local directory, numbers out of
            range, or a data directory that cannot be written.
        RunError: downloading, preparing or reading failed.
    """
    name = choice.used if isinstance(choice, Choice) else choice
    _check_image_size(image_size)
    check_name(name, data_dir)
    root = names.data_root(data_dir)
    if name == names.LINEAR_REGRESSION:
        return _load_line(root, num_examples, seed, progress)
    if name == names.DIGITS:
        return _load_digits(root, image_size, progress, memory_limit)
    if names.is_directory(name):
        return _load_local(
            local.open_directory(name), root, image_size, progress, memory_limit
        )
    return _load_tfds(name, root, image_size, progress, memory_limit)


def _check_image_size(image_size: tuple[int, int] | None) -> None:
    if image_size is not None and not (
        isinstance(image_size, tuple | list)
        and len(image_size) == 2
        and all(isinstance(side, int) and side >= 1 for side in image_size)
    ):
        raise UserError(
            "image_size must be a height and a width of at least 1. "
            f"Received: {image_size}"
        )


def _load_line(root: Path, num_examples: int, seed: int, progress: bool) -> Dataset:
    from zoo.data import reading
    from zoo.data.builders import linear_regression

    if num_examples < 1 or seed < 0:
        raise UserError(
            "linear_regression needs num_examples of at least 1 and a seed of at "
            f"least 0. Received: num_examples={num_examples}, seed={seed}"
        )
    config: linear_regression.LineConfig | str
    config = linear_regression.config(num_examples, seed)
    if config.name in linear_regression.LinearRegression.builder_configs:
        config = config.name
    builder = prepare.prepared(
        lambda: linear_regression.LinearRegression(data_dir=root, config=config),
        root=root,
        what=names.LINEAR_REGRESSION,
        progress=progress,
    )
    return reading.read_regression(
        builder,
        name=names.LINEAR_REGRESSION,
        source=builder.info.full_name,
        fingerprint=builder.builder_config.name,
    )


def _load_digits(
    root: Path,
    image_size: tuple[int, int] | None,
    progress: bool,
    memory_limit: int | None,
) -> Dataset:
    from zoo.data import reading
    from zoo.data.builders.digits import Digits

    builder = prepare.prepared(
        lambda: Digits(data_dir=root), root=root, what=names.DIGITS, progress=progress
    )
    return reading.read_images(
        builder,
        image_size=image_size,
        name=names.DIGITS,
        source=builder.info.full_name,
        fingerprint=builder.info.full_name,
        memory_limit=memory_limit,
    )


def _load_tfds(
    name: str,
    root: Path,
    image_size: tuple[int, int] | None,
    progress: bool,
    memory_limit: int | None,
) -> Dataset:
    builder = names.tfds_builder(name, root)
    # Without a network, TFDS would try for minutes.
    if not builder.is_prepared() and not prepare.is_reachable(builder):
        raise prepare.offline_error(name, builder)
    builder = prepare.prepared(
        lambda: names.tfds_builder(name, root),
        root=root,
        what=name,
        progress=progress,
    )
    from zoo.data import reading

    return reading.read_images(
        builder,
        image_size=image_size,
        name=_tfds_name(builder),
        source=builder.info.full_name,
        fingerprint=builder.info.full_name,
        memory_limit=memory_limit,
    )


def _tfds_name(builder: tfds.core.DatasetBuilder) -> str:
    config = builder.builder_config
    return builder.name if config is None else f"{builder.name}-{config.name}"


def _load_local(
    source: local.LocalSource,
    root: Path,
    image_size: tuple[int, int] | None,
    progress: bool,
    memory_limit: int | None,
) -> Dataset:
    import tensorflow_datasets as tfds

    from zoo.data import reading

    path = _local_path(source, root, image_size)
    about = {
        "name": source.name,
        "source": str(source.path),
        "fingerprint": source.fingerprint(image_size),
        "memory_limit": memory_limit,
    }
    decoded = path.parent / "decoded"
    there = path.exists() or reading.is_streamed(decoded)
    # Read before a lock is taken: bad input must not write anything.
    if not there and _is_large(source, image_size, memory_limit):
        # Not by TFDS, which keeps all records in memory to put them in order.
        contents = source.files.stream(image_size)
        with prepare.lock(root, path.parents[1].name):
            if not reading.is_streamed(decoded):
                reading.write_streamed(decoded, contents)
    if reading.is_streamed(decoded):
        return reading.read_streamed(decoded, **about)
    if not path.exists():
        builder = _local_builder(source, root, image_size)
        with prepare.lock(root, builder.name):
            if not path.exists():
                prepare.run(builder, what=str(source.path), progress=progress)
    try:
        builder = tfds.builder_from_directory(path)
    except Exception as error:  # Whatever its parsers raise.
        raise prepare.damaged_error(str(source.path), path, error) from error
    return reading.read_images(builder, image_size=image_size, **about)


def _is_large(
    source: local.LocalSource,
    image_size: tuple[int, int] | None,
    memory_limit: int | None,
) -> bool:
    """Whether a split of a directory needs more than the limit."""
    from zoo.data import memory

    return memory_limit is not None and any(
        memory.beyond(source.files.shapes(image_size), memory_limit)
    )


def _local_builder(
    source: local.LocalSource, root: Path, image_size: tuple[int, int] | None
):
    """Reads and checks a directory; returns the builder that will write it."""
    from zoo.data.builders.arrays import ContentsConfig
    from zoo.data.builders.local_idx import LocalIdx
    from zoo.data.builders.local_images import LocalImages

    contents = source.files.read(image_size)
    builder_cls = LocalIdx if source.is_idx else LocalImages
    config = ContentsConfig(name=source.config_name(image_size), contents=contents)
    return builder_cls(data_dir=root, config=config)


def _local_path(
    source: local.LocalSource, root: Path, image_size: tuple[int, int] | None
) -> Path:
    """Returns where TFDS keeps the prepared copy: name/configuration/version."""
    name = "local_idx" if source.is_idx else "local_images"
    return root / name / source.config_name(image_size) / _LOCAL_VERSION
