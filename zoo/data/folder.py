"""Finds trees of image files: one folder per class, with or without a split."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from zoo.data.dataset import reading
from zoo.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_TEST_FRACTION = 0.2
_SPLIT_SEED = 0
_VALIDATION = ("validation", "val", "valid")  # names of a folder of that split
_SHOWN = 100  # damaged files that a message lists
Example: TypeAlias = tuple[str, int]  # a file and its class index


@dataclasses.dataclass(frozen=True)
class ImageTree:
    """The images of a tree.

    Attributes:
        class_names: names of the classes, in natural order.
        train: the files to train on, each with its class index.
        test: the files to test on, each with its class index.
        validation: the files to evaluate on while training, each with its class index;
            empty if the tree has no folder of them.
        ignored: files and folders that are not hidden and belong to no class.
    """

    class_names: tuple[str, ...]
    train: tuple[Example, ...]
    test: tuple[Example, ...]
    validation: tuple[Example, ...] = ()
    ignored: tuple[str, ...] = ()

    def splits(self) -> dict[str, tuple[Example, ...]]:
        """Returns train, test and, if there is one, validation by their names."""
        splits = {"train": self.train, "test": self.test}
        return splits | ({"validation": self.validation} if self.validation else {})

    def paths(self) -> list[str]:
        """Returns the files of all splits."""
        return [path for split in self.splits().values() for path, _ in split]

    def without(self, damaged: Mapping[str, str]) -> ImageTree:
        """Returns the tree without some files; raises UserError if a class is lost.

        Args:
            damaged: the files, each with a line that says what is wrong.
        """
        splits: dict[str, Any] = {
            name: tuple(example for example in split if example[0] not in damaged)
            for name, split in self.splits().items()
        }
        kept = {label for _, label in splits["train"]}
        lost = [
            f"training images of the class {name!r}"
            for i, name in enumerate(self.class_names)
            if i not in kept
        ]
        lost += [f"{name} images" for name, split in splits.items() if not split]
        if lost:
            raise UserError(
                f"All {lost[0]} are damaged, so that --skip_damaged would leave none. "
                f"One of the damaged files: {next(iter(damaged.values()))}."
            )
        return dataclasses.replace(self, **splits)


def listed(lines: Sequence[str]) -> str:
    """Returns the first 100 of some lines about damaged files as one line."""
    more = f"; and {len(lines) - _SHOWN:,} more" if len(lines) > _SHOWN else ""
    return f"{'; '.join(lines[:_SHOWN])}{more}"


def kinds(paths: Sequence[str]) -> str:
    """Returns numbers of files by extension, such as ``3 .txt files, 1 folder``."""
    counts = collections.Counter(
        "folder" if os.path.isdir(path) else f"{Path(path).suffix.lower()} file".strip()  # noqa: PTH112
        for path in paths
    )
    return ", ".join(
        f"{count:,} {kind}{'s' if count > 1 else ''}"
        for kind, count in counts.most_common()
    )


def scan(root: Path) -> ImageTree | None:
    """Finds the images of a tree and checks its layout.

    The layout is ``train/CLASS/*`` with ``test/CLASS/*`` and maybe
    ``validation/CLASS/*``, or ``CLASS/*``. The latter is split 80/20 within each class,
    in the same way on every machine. Returns None if no folder of the directory has an
    image.
    """
    folders, _, others = _list(root)
    named = {Path(path).name: path for path in folders}
    has_splits = named.keys() & {"train", "test"} and (
        named.keys() <= {"train", "test", *_VALIDATION}
        or any(_list(named[name])[0] for name in ("train", "test") if name in named)
    )
    if not has_splits:
        if any(_list(path)[1] for path in folders):
            return _split(*_classes(root))
        return None
    return _scan_splits(root, named, others)


def _scan_splits(root: Path, named: dict[str, str], others: list[str]) -> ImageTree:
    """Finds the images of train, test and maybe validation; ``named`` are folders."""
    validation = [name for name in _VALIDATION if name in named]
    for name, other in (("train", "test"), ("test", "train")):
        if name not in named:
            hint = ""
            if name == "test" and validation:
                hint = f" Rename {validation[0]} to test, or add a folder test."
            raise UserError(f"{root} has a folder {other} but no folder {name}.{hint}")
    if len(validation) > 1:
        raise UserError(
            f"{root} has {len(validation)} folders for validation, "
            f"{' and '.join(validation)}. Keep one of them."
        )
    used = ("train", "test", *validation)
    ignored = [path for name, path in named.items() if name not in used] + others
    labels: dict[str, int] = {}
    splits: list[tuple[Example, ...]] = []
    for name in used:
        classes, within = _classes(named[name])
        ignored += within
        labels = labels or {each: label for label, each in enumerate(classes)}
        if more := [each for each in classes if each not in labels]:
            raise UserError(
                f"{root}/{name}/{more[0]}: the class {more[0]!r} is not in "
                f"{root}/train."
            )
        splits.append(
            tuple((path, labels[each]) for each in classes for path in classes[each])
        )
    held_out = splits[2] if validation else ()
    return ImageTree(tuple(labels), splits[0], splits[1], held_out, tuple(ignored))


def _classes(directory: str | Path) -> tuple[dict[str, list[str]], list[str]]:
    """Returns the image files by class name, in natural order, and ignored files."""
    folders, images, others = _list(directory)
    classes, ignored = {}, [*images, *others]  # images outside of class folders too
    for path in folders:
        name = Path(path).name
        text = os.fsencode(name).decode(errors="replace")
        if text != text.strip() or text != name or len(text.splitlines()) != 1:
            raise UserError(
                f"The class folder {path!r} has a name that labels.txt cannot hold: "
                "spaces at an end, a line break or bytes that are not UTF-8. Rename it."
            )
        within, images, others = _list(path)
        if not images:
            holds = f" It holds {kinds([*within, *others])}." if within + others else ""
            raise UserError(
                f"The class folder {path} has no images ({', '.join(EXTENSIONS)})."
                f"{holds}"
            )
        classes[name] = images
        ignored += [*within, *others]
    if not classes:
        raise UserError(f"{directory} has no class folders.")
    return classes, ignored


def _split(classes: dict[str, list[str]], ignored: Sequence[str]) -> ImageTree:
    train: list[Example] = []
    test: list[Example] = []
    for label, (name, images) in enumerate(classes.items()):
        if len(images) < 2:
            raise UserError(
                f"The class {name!r} has one image ({images[0]}): splitting into "
                "train and test needs two."
            )
        count = max(1, round(len(images) * _TEST_FRACTION))
        order = np.random.default_rng([_SPLIT_SEED, label]).permutation(len(images))
        chosen = set(order[:count].tolist())
        for i, path in enumerate(images):
            (test if i in chosen else train).append((path, label))
    return ImageTree(tuple(classes), tuple(train), tuple(test), ignored=tuple(ignored))


def _list(directory: str | Path) -> tuple[list[str], list[str], list[str]]:
    """Returns folders, images and other entries, without hidden ones, in order."""
    folders: list[str] = []
    images: list[str] = []
    others: list[str] = []
    with reading(directory), os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: _natural(entry.name)):
            if entry.name[0] == ".":
                continue
            kind = others
            if entry.is_dir():
                kind = folders
            elif entry.name.lower().endswith(EXTENSIONS) and entry.is_file():
                kind = images
            # Strings, since making a Path takes as long as reading a small file.
            kind.append(f"{directory}/{entry.name}")
    return folders, images, others


def _natural(name: str) -> tuple:
    """Returns a sort key: "2" comes before "10"; equals ("02", "2") sort by name."""
    parts = re.split(r"(\d+)", name)
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], name
