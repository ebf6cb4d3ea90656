"""Tests the flags that are made from the fields of a dataclass."""

from __future__ import annotations

import dataclasses

import pytest

from zoo.commands import flags, train
from zoo.errors import UserError
from zoo.training.config import Config


def field(default, **metadata):
    return dataclasses.field(default=default, metadata={"help": "A help."} | metadata)


@dataclasses.dataclass
class Example:
    name: str = dataclasses.field(metadata={"help": "Required."})
    text: str | None = field(None)
    many: bool = field(True)
    whole: int | None = field(None)
    number: float = field(0.5)
    word: str = field("one", choices=("one", "two"))
    size: tuple[int, int] | None = field(None)
    inner: int = 3


def parsed(arguments, **options):
    values = flags.Flags()
    names = values.define(Example, texts=["size"], **options)
    assert flags.parse(["example", *arguments], "", values) == []
    return {name: values[name].value for name in names}


def test_flags_have_the_types_and_defaults_of_the_fields():
    assert parsed([]) == {
        "name": None,
        "text": None,
        "many": True,
        "whole": None,
        "number": 0.5,
        "word": "one",
        "size": None,
    }
    given = ["--name=a", "--nomany", "--whole=3", "--number=1", "--word=two"]
    assert parsed([*given, "--size=2x3"]) == {
        "name": "a",
        "text": None,
        "many": False,
        "whole": 3,
        "number": 1.0,
        "word": "two",
        "size": "2x3",
    }


def test_flags_that_are_not_given_are_none():
    assert set(parsed([], unset=True).values()) == {None}


@pytest.mark.parametrize(
    "argument", ["--whole=1.5", "--word=three", "--nomany=1", "--inner=4", "--nam=a"]
)
def test_what_a_flag_does_not_accept_is_explained(argument):
    with pytest.raises(UserError, match=r"\(--help lists the flags\)$"):
        parsed([argument])


def test_a_configuration_is_that_of_the_flags():
    given = ["--model=mlp", "--image_size=12x14", "--epochs=2", "--nonesterov"]
    given += ["--augment=flip=0.5", "--profile_steps=1,2", "--noplots"]
    flags.parse(["train", *given], "", train.FLAGS)
    assert train.config_from_flags() == Config(
        "mlp",
        image_size=(12, 14),
        profile_steps=(1, 2),
        overrides={"epochs": 2, "nesterov": False, "augment": {"flip": 0.5}},
    )
    flags.parse(["train", "--model=mlp", "--steps_per_execution=3"], "", train.FLAGS)
    asked = train.config_from_flags()
    assert asked == Config("mlp", overrides={"steps_per_execution": 3})
