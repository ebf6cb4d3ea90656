"""Prints the layers, output shapes and recipes of an architecture.

python -m zoo describe convnet
"""

from __future__ import annotations

import inspect

from zoo import registry, startup
from zoo.commands import flags
from zoo.data.dataset import dimensions
from zoo.errors import UserError
from zoo.recipe import Recipe

FLAGS = flags.Flags()


def main(argv: list[str]) -> None:
    """Parses the name of the architecture and prints its description."""
    names = flags.parse(argv, __doc__, FLAGS)
    if len(names) != 1:
        raise UserError(
            f"describe takes one model. Received: {' '.join(names) or 'none'}. "
            f"Known: {', '.join(registry.list_models())}."
        )
    (name,) = names
    registry.check_model(name)
    startup.start()
    from zoo.models import build

    architecture = registry.get_architecture(name)
    print(f"{name}: {inspect.getdoc(architecture.model_class)}\n")
    model = architecture.model_class(10, name=name)
    model.build((None, *architecture.example_shape))
    model.summary(line_length=80)
    print(
        f"\n{build.multiply_adds(model):,} multiply-adds for an image "
        f"{dimensions(architecture.example_shape)}.\n"
    )
    for recipe, settings in architecture.recipes.items():
        print(f"recipe {recipe}: {_changes(settings)}")
        if settings.scratch:
            print(f"    --weights=none: {_changes(settings.from_scratch())}")


def _changes(recipe: Recipe) -> str:
    """Returns the main fields of a recipe and those that differ from the defaults."""
    main = ("optimizer", "learning_rate", "batch_size", "epochs")
    defaults = vars(Recipe())
    fields = vars(recipe) | {"batch_size": recipe.batch_size or "all"}
    return ", ".join(
        f"{name}={value}"
        for name, value in fields.items()
        if name in main or (value != defaults[name] and name != "scratch")
    )
