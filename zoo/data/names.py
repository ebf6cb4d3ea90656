"""Names of datasets: which exist, and what a name stands for.

Nothing here imports TensorFlow, so a mistyped name is answered at once.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.data.local import check_directory
from zoo.errors import UserError, unknown

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

DIGITS = "digits"
LINEAR_REGRESSION = "linear_regression"
OWN = (DIGITS, LINEAR_REGRESSION)
WELL_KNOWN = ("mnist", "fashion_mnist", "kmnist", "emnist/letters", "cifar10")


def data_root(data_dir: str | None) -> Path:
    """Returns where prepared datasets are kept: ``data_dir`` or TFDS's default.

    Raises:
        UserError: not a local path.
    """
    if data_dir is None:
        from tensorflow_datasets.core import constants

        return Path(constants.DATA_DIR).expanduser()
    if not data_dir or "://" in data_dir:
        raise UserError(f"data_dir must be a local directory. Received: {data_dir!r}")
    return Path(data_dir).expanduser().absolute()


def is_directory(dataset: str) -> bool:
    """Whether the name means a local directory.

    It does when it starts like a path, or when it is no dataset's name and
    something of that name exists.
    """
    if dataset.startswith((".", "/", "~")):
        return True
    return (
        bool(dataset)
        and dataset not in OWN
        and _exists(dataset)
        and _tfds_name(dataset) not in _tfds_names()
    )


def check_name(dataset: str, data_dir: str | None) -> None:
    """Checks that a dataset of that name, or such a directory, exists.

    Raises:
        UserError: unknown name, configuration or version, not a dataset of labeled
            images, or a directory that is missing, empty or unreadable.
    """
    root = data_root(data_dir)
    if dataset in OWN:
        return
    if is_directory(dataset):
        check_directory(dataset)
        return
    name = _tfds_name(dataset)
    if name not in _tfds_names() and not _is_prepared_folder(root, name):
        raise _unknown(dataset)
    builder = tfds_builder(dataset, root)
    image_and_label(builder)


def tfds_builder(dataset: str, root: Path) -> tfds.core.DatasetBuilder:
    """Returns the builder of a TFDS name, as ``emnist/letters`` or ``mnist:3.0.1``.

    Raises:
        UserError: unknown configuration or version, or TFDS cannot construct it.
    """
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(dataset, data_dir=root)
    except Exception as error:  # TFDS raises whatever its many builders raise.
        _check_config(dataset)
        message = re.sub(r'^Failed to construct .*}": ', "", str(error).strip())
        message = (message.splitlines() or [type(error).__name__])[0][:300]
        raise UserError(f"TFDS cannot open {dataset!r}: {message}") from error


def image_and_label(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the image feature and of the label feature.

    Raises:
        UserError: the dataset is not one of labeled uint8 or uint16 images.
    """
    import tensorflow_datasets as tfds

    features = dict(getattr(builder.info.features, "items", dict)())
    keys = builder.info.supervised_keys
    if keys is None:
        kinds = (tfds.features.Image, tfds.features.ClassLabel)
        keys = [
            key
            for kind in kinds
            for key, feature in features.items()
            if type(feature) is kind
        ]
    if len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (features.get(key) for key in keys)
        if (
            isinstance(label, tfds.features.ClassLabel)
            and image is not None
            and len(image.shape or ()) == 3
            and image.np_dtype in (np.uint8, np.uint16)
            and image.shape[-1] in (1, 3, None)
        ):
            return keys[0], keys[1]
    described = ", ".join(
        f"{key} ({type(feature).__name__})" for key, feature in features.items()
    )
    raise UserError(
        f"Dataset {builder.info.full_name!r} is not one of labeled images with 1 or 3 "
        f"channels. Its features: {described}."
    )


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # Too long for a file's name, before Python 3.12.
        return False


def _tfds_name(dataset: str) -> str:
    """Returns ``emnist`` of ``emnist/letters:3.1.0``; "" of what is no such name."""
    from tensorflow_datasets.core import naming

    try:
        name, _ = naming.parse_builder_name_kwargs(dataset)
    except Exception:  # Whatever its parser raises, it is not a name.
        return ""
    return "" if name.namespace else name.name


def _tfds_names() -> list[str]:
    """Lists TFDS's datasets. ``tfds.list_builders`` would ask the network too."""
    from tensorflow_datasets.core import registered

    # Without ours, which are registered once they have been used.
    return [name for name in registered.list_imported_builders() if name not in OWN]


def _is_prepared_folder(root: Path, name: str) -> bool:
    """Whether data prepared by somebody else's builder lie in the data directory."""
    folder = root / name
    return (
        bool(name)
        and _exists(str(folder))
        and any(
            True
            for pattern in ("*/dataset_info.json", "*/*/dataset_info.json")
            for _ in folder.glob(pattern)
        )
    )


def _check_config(dataset: str) -> None:
    """Answers an unknown configuration with the list of those that exist."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import naming

    name, kwargs = naming.parse_builder_name_kwargs(dataset)
    config = kwargs.get("config")
    if config and str(name) in _tfds_names():
        configs = tfds.builder_cls(str(name)).builder_configs
        if config not in configs:
            raise unknown(f"configuration of {name}", config, configs)


def _unknown(dataset: str) -> UserError:
    known = {*OWN, *WELL_KNOWN, *_tfds_names()}
    close = difflib.get_close_matches(dataset, sorted(known), n=1, cutoff=0.7)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UserError(
        f"Unknown dataset {dataset!r}. Known: {', '.join((*OWN, *WELL_KNOWN))}, any "
        f"other image-classification name of TFDS, or a local directory.{hint}"
    )
