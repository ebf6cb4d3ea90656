"""Lists, describes, trains, exports and uses the models of the zoo.

    python -m zoo COMMAND [ARGUMENTS] [FLAGS]
    python -m zoo COMMAND --help

Without a command, it lists the models. If pip has installed the zoo, the command `zoo`
does the same as `python -m zoo`.
"""

from __future__ import annotations

import importlib
import pathlib

from zoo import console, registry, startup
from zoo.errors import UserError, unknown
from zoo.recipe import Recipe, parse_augment
from zoo.training.config import parse_image_size

NONE, RUN, AUGMENT = console.Flags(), console.Flags(), console.Flags()
PREDICT = console.Flags()

for _flags in (RUN, PREDICT):
    _flags.string("run_dir", None, "The finished run to use.")
    _flags.string(
        "artifact",
        None,
        "The exported file to use instead: a SavedModel's directory or a .tflite file, "
        "such as R/export/tflite/model_int8.tflite.",
    )
    _flags.string(
        "weights",
        None,
        "The pretrained weights to use instead, such as mlp/mnist; `python -m zoo "
        "list` lists them.",
    )
RUN.string(
    "dataset",
    None,
    "With --weights: the dataset to evaluate on, as for train.py. Unset: the one that "
    "they were trained on, or a sample of it if that is not on this machine.",
)
PREDICT.boolean("invert", False, "Swap black and white in the images.")

AUGMENT.string("model", None, "The architecture; `python -m zoo` lists them.")
AUGMENT.string("recipe", "default", "One of the architecture's recipes.")
AUGMENT.string("augment", None, "Instead of the recipe's, such as flip=0.5.")
AUGMENT.string("dataset", "digits", "The dataset of the images, as for train.py.")
AUGMENT.string("data_dir", None, "Where TFDS keeps prepared datasets.")
AUGMENT.string("image_size", None, "Stretch images to SIZE or HEIGHTxWIDTH pixels.")
AUGMENT.boolean("skip_damaged", False, "Leave out images that do not decode.")
AUGMENT.string("output", None, "The PNG file to write.")
AUGMENT.integer("seed", 0, "The seed of the run, 0 or more.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Runs the command that the first argument names."""
    name, *arguments = argv[1:] or ["list"]
    if name in (*console.HELP, "help"):
        docs = {n: command.__doc__ for n, (command, _) in COMMANDS.items()}
        docs |= {n: importlib.import_module(m).__doc__ for n, m in MODULES.items()}
        rows = [(n, str(doc).splitlines()[0]) for n, doc in docs.items()]
        lines = [f"  {line}" for line in console.align(rows)]
        print(__doc__.strip(), "\nCommands:\n", *lines, sep="\n")
    elif name in MODULES:
        importlib.import_module(MODULES[name]).main([name, *arguments])
    elif name in COMMANDS:
        command, values = COMMANDS[name]
        command(console.parse_flags([name, *arguments], command.__doc__, values))
    else:
        raise unknown("command", name, [*COMMANDS, *MODULES])


def list_command(extra: list[str]) -> None:
    """Prints the architectures and the pretrained weights as a table.

    python -m zoo list
    """
    if extra:
        raise UserError(f"list takes no arguments. Received: {' '.join(extra)}.")
    startup.start()
    from zoo.commands import catalog

    print(catalog.table())


def describe(names: list[str]) -> None:
    """Prints the layers, output shapes and recipes of an architecture.

    python -m zoo describe convnet
    """
    if len(names) != 1:
        raise UserError(
            f"describe takes one model. Received: {' '.join(names) or 'none'}. "
            f"Known: {', '.join(registry.list_models())}."
        )
    registry.check_model(names[0])
    startup.start()
    from zoo.commands import catalog

    print(catalog.description(names[0]))


def predict(arguments: list[str]) -> None:
    """Prints the most probable class of each image file, and its probability.

    python -m zoo predict SOURCE a.png b.png
    """
    given = PREDICT.run_dir or PREDICT.artifact or PREDICT.weights
    source, *paths = [given, *arguments] if given else arguments or [""]
    if not source or not paths:
        raise UserError(
            "predict takes a run, weights or an exported file, and image files: "
            "python -m zoo predict mlp/mnist a.png b.png. Received: "
            f"{' '.join(arguments) or 'nothing'}."
        )
    startup.start()
    from zoo.runs import open as opening

    opened = opening.open(source)
    for path, name, probability in opening.top(
        opened, paths, invert=PREDICT.invert, progress=console.is_terminal()
    ):
        print(f"{path}  {name}  {probability:.4f}")


def evaluate(arguments: list[str]) -> None:
    """Evaluates a run, an exported file or pretrained weights on a test split.

    python -m zoo evaluate SOURCE
    """
    given = RUN.run_dir or RUN.artifact or RUN.weights
    sources = [given, *arguments] if given else arguments
    if len(sources) != 1:
        raise UserError(
            "evaluate takes a run, weights or an exported file: "
            "python -m zoo evaluate mlp/mnist. Received: "
            f"{' '.join(map(str, sources)) or 'nothing'}."
        )
    startup.start()
    from zoo.runs import open as opening

    for name, value in opening.open(sources[0]).evaluate(RUN.dataset).items():
        print(f"{name}  {value if name == 'examples' else round(value, 6)}")


def augment(extra: list[str]) -> None:
    """Draws images of a dataset with the augmentation of a recipe.

    python -m zoo augment --model=mlp --output=a.png
    """
    model, path = AUGMENT.model, pathlib.Path(AUGMENT.output or "")
    if not model or not AUGMENT.output or extra:
        raise UserError(
            "augment takes --model and --output: "
            "python -m zoo augment --model=convnet --output=augmentations.png. "
            f"Received: {' '.join(extra) or 'not both'}."
        )
    registry.check_model(model)
    asked = parse_augment(AUGMENT.augment)
    image_size = parse_image_size(AUGMENT.image_size)
    Recipe(augment=asked or {})  # checks the strengths
    if path.suffix != ".png" or not path.parent.is_dir():
        raise UserError(
            f"--output must end in .png, in a directory that exists. Received: {path}."
        )
    startup.start()
    from zoo.data import load
    from zoo.plots import augmentations, canvas

    recipe = registry.get_recipe(model, AUGMENT.recipe)
    strengths = recipe.augment if asked is None else asked
    if not strengths:
        recipes = registry.get_architecture(model).recipes.items()
        others = [name for name, other in recipes if other.augment]
        raise UserError(
            f"The recipe {AUGMENT.recipe} of {model} has no augmentation. Recipes that "
            f"have one: {', '.join(others) or 'none'}. Or pass --augment."
        )
    data = load.load(
        AUGMENT.dataset,
        data_dir=AUGMENT.data_dir,
        image_size=image_size,
        skip_damaged=AUGMENT.skip_damaged,
    )
    if data.spec.task != "classification":
        raise UserError(
            f"Only images are augmented. Received: --dataset={AUGMENT.dataset}."
        )
    with canvas.style():
        figure = augmentations.augmentations(data.train, strengths, AUGMENT.seed)
        title = AUGMENT.augment or f"{model}, recipe {AUGMENT.recipe}"
        figure.suptitle(f"{title}: augmentations of {data.spec.name}")
        try:
            canvas.save(figure, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    print(path)


#: Each command of this file, which takes the arguments that are not flags; its flags.
COMMANDS = {
    "list": (list_command, NONE),
    "describe": (describe, NONE),
    "augment": (augment, AUGMENT),
    "evaluate": (evaluate, RUN),
    "predict": (predict, PREDICT),
}

#: The commands that are modules with a ``main``. They may import the export, and are
#: imported when they are used.
MODULES = {
    "train": "zoo.commands.train",
    "export": "zoo.commands.export",
    "serve": "export.serve",
}
