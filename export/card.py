"""The model card: R/export/README.md, from result.json and export.json alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from export import snippets, tflite_trainable
from export.formats import MOMENTUM
from export.tflite import PURPOSES
from zoo.plots.draw import TITLES


def text(
    result: Mapping[str, Any],
    export: Mapping[str, Any],
    pictures: Sequence[str] = (),
) -> str:
    """Returns the card as Markdown.

    Args:
        result: the content of result.json.
        export: the content of export.json.
        pictures: what there is in ``plots`` beside it, as in ``zoo.plots.draw.TITLES``.
    """
    sections = [
        f"# {result['model']}, trained on {export['data']['name']}\n",
        _what_it_is(result, export),
        _training(result, export),
        _accuracy(result, export),
        _artifacts(export),
        *_page(export),
        _contract(export),
        "## How to call it\n",
        *snippets.examples(export),
        *_learning(export),
        *_pictures(pictures),
        _limits(export),
        _licence(export),
        _versions(result),
    ]
    return "\n".join(sections)


def _what_it_is(result: Mapping[str, Any], export: Mapping[str, Any]) -> str:
    data = export["data"]
    shape = "x".join(map(str, data["input_shape"]))
    if data["num_classes"] is None:
        kind = "A regression of one number on one number"
    else:
        kind = f"A classifier of {shape} images into {data['num_classes']} classes"
    return (
        f"{kind}: {export['description']} {result['num_params']:,} parameters.\n"
        "It takes raw values and scales them itself.\n"
    )


def _training(result: Mapping[str, Any], export: Mapping[str, Any]) -> str:
    return (
        "## Training\n\n"
        f"    {result['command']}\n\n"
        f"Recipe `{result['recipe']}`, seed {result['seed']}: "
        f"{result['epochs']} epochs, {result['steps']:,} steps, "
        f"{result['train_seconds']:.1f} s, on {result['num_train_examples']:,} "
        f"training examples of {export['data']['source']}.\n"
    )


def _accuracy(result: Mapping[str, Any], export: Mapping[str, Any]) -> str:
    n = result["num_test_examples"]
    if "accuracy" not in result["test"]:
        learned, best = result["learned"], result["least_squares"]
        return (
            "## Test error\n\n"
            f"Mean squared error {result['test']['loss']:.4f} on {n:,} test examples.\n"
            f"y = {learned['weight']:.4f} x + {learned['bias']:.4f}; least squares: "
            f"y = {best['weight']:.4f} x + {best['bias']:.4f}.\n"
        )
    accuracy = result["test"]["accuracy"]
    right = round(accuracy * n)
    low, high = stats.binomtest(right, n).proportion_ci(method="wilson")
    rows = [
        f"| {_cell(name)} | {hits} of {total} | {100 * hits / total:.2f}% |"
        for name, hits, total in export["per_class"]
    ]
    return (
        "## Test accuracy\n\n"
        f"{100 * accuracy:.2f}% ({right:,} of {n:,}), 95% interval "
        f"{100 * low:.2f}% to {100 * high:.2f}% (Wilson). The final weights, evaluated "
        "once.\n\n| class | right | accuracy |\n| --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def _artifacts(export: Mapping[str, Any]) -> str:
    classifier = export["data"]["num_classes"] is not None
    measure = "accuracy | agreement" if classifier else "largest error"
    header = f"| file | for | bytes | {measure} | ms |\n"
    header += "| --- " * header.count(" | ") + "| --- |\n"
    purposes = PURPOSES | {"trainable": tflite_trainable.PURPOSE}
    lines = []
    for record in export["artifacts"]:
        if classifier:
            measured = (
                f"{100 * record['accuracy']:.2f}% | {100 * record['agreement']:.2f}%"
            )
        else:
            measured = f"{record['max_abs_error']:.2g}"
        purpose = purposes.get(record["name"], "servers")
        lines.append(
            f"| `{record['path']}` | {purpose} | {record['bytes']:,} | {measured} | "
            f"{record['latency_ms']['median']:.2f} |"
        )
    left_out = [
        f"`{name}` is left out: {reason}."
        for name, reason in export["left_out"].items()
    ]
    note = (
        "Every file was run over the whole test split in its own runtime. Agreement is "
        "the share of examples that get the class that the Keras model gives them; ms "
        "is the median of one example on one thread of the machine that exported.\n"
    )
    return (
        "## Files\n\n"
        + header
        + "\n".join(lines)
        + f"\n\n{note}"
        + "\n".join(left_out)
        + ("\n" if left_out else "")
    )


def _page(export: Mapping[str, Any]) -> list[str]:
    if not (page := export.get("page")):
        return []
    return [
        "## The page\n\n"
        f"`{page['path']}/` is a static web page, {page['bytes']:,} bytes, for any "
        "host: it asks the int8 or the float32 file in the browser, by LiteRT.js "
        f"{page['litert']}. `python -m export.serve --run_dir=R` serves it on this "
        "machine.\n"
    ]


def _contract(export: Mapping[str, Any]) -> str:
    rows = [
        f"| `{record['path']}` | {_tensor(record['input'])} | "
        f"{_tensor(record['output'])} |"
        for record in export["artifacts"]
    ]
    data = export["data"]
    meaning = ""
    if data["num_classes"] is not None:
        channels = {1: "gray", 3: "red, green, blue"}[data["input_shape"][-1]]
        meaning = (
            f"\nPixels are raw, 0 to 255, {channels}, rows from top to bottom. "
            f"Probabilities are in the order of the classes: "
            f"{', '.join(map(_cell, data['class_names']))}. The signature "
            "`serving_default` of the SavedModel also gives `logits` and `class_id`; "
            "`serve_bytes` takes encoded PNG, JPEG, BMP or GIF files of any size as "
            "`image_bytes`. Quantized numbers mean (number - zero point) * scale.\n"
        )
    return (
        "## Input and output\n\n| file | input | output |\n| --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
        + meaning
    )


def _learning(export: Mapping[str, Any]) -> list[str]:
    records = [r for r in export["artifacts"] if "training" in r]
    if not records:
        return []
    (training,) = (record["training"] for record in records)
    rule = "plain SGD"
    if training["optimizer"] == "momentum":
        rule = f"SGD with a momentum of {MOMENTUM}"
    steps = 1000 / training["step_ms"]
    text = (
        "## Learning on the device\n\n"
        "`tflite/model_trainable.tflite` learns from "
        f"{training['batch_size']} examples at a time by {rule} on the mean "
        "cross-entropy, without dropout and with batch normalization, where there is "
        "any, frozen at its moving statistics. A step takes "
        f"{training['step_ms']:.2f} ms ({steps:,.0f} a second) and the file "
        f"{training['memory_bytes'] / 2**20:.0f} MiB of memory, on one thread of the "
        f"machine that exported. {training['steps']} steps were compared with as many "
        f"of Keras: losses differ by at most {training['max_loss_error']:.1g}, weights "
        f"by at most {training['max_weight_error']:.1g}.\n\n"
        "| signature | input | output |\n| --- | --- | --- |\n"
        + "\n".join(_signatures(export["data"], training))
        + "\n\n`loss` is NaN and nothing is learned when a label is no class, or when "
        "a pixel, the learning rate or anything that follows from them is not finite. "
        "Weights live as long as the interpreter: keep what `weights` gives and pass "
        "it to `restore`, with which momentum starts anew. In Python "
        '`zoo.load_run(run, device_weights="learned.npz")` takes it back to Keras.\n'
    )
    return [text, *snippets.learning_examples(export)]


def _signatures(data: Mapping[str, Any], training: Mapping[str, Any]) -> list[str]:
    shape = ", ".join(map(str, data["input_shape"]))
    batch = training["batch_size"]
    return [
        f"| `infer` | `image` float32 (1, {shape}) | `probabilities` float32 (1, "
        f"{data['num_classes']}) |",
        f"| `train` | `image` float32 ({batch}, {shape}), `label` int32 ({batch}), "
        "`learning_rate` float32 () | `loss` float32 () |",
        "| `weights` | | every trainable parameter, float32 |",
        "| `restore` | what `weights` gave | `restored` bool () |",
        "| `reset`, to the weights as shipped | | `restored` bool () |",
        "| `weights_java`, `reset_java` | `ignored` float32 () | as without `_java` |",
    ]


def _pictures(names: Sequence[str]) -> list[str]:
    images = [f"![{TITLES[name]}](plots/{name}.png)\n" for name in names]
    return ["## Pictures\n", *images] if names else []


def _tensor(tensor: Mapping[str, Any]) -> str:
    shape = ", ".join("any" if size is None else str(size) for size in tensor["shape"])
    text = f"`{tensor['name']}` {tensor['dtype']} ({shape})"
    if tensor["quantization"]:
        scale, zero_point = tensor["quantization"]
        text += f", scale {scale:g}, zero point {zero_point}"
    return text


def _limits(export: Mapping[str, Any]) -> str:
    if export["data"]["num_classes"] is None:
        return (
            "## Limits and intended use\n\nIt shows how a line is learned by gradient "
            "descent. Outside the range of its training data it extends that line.\n"
        )
    return (
        "## Limits and intended use\n\n"
        "For images like those it was trained on: the same kind of content, framing, "
        "contrast and background. It gives every image one of its classes, also one "
        "that shows none of them, and a high probability is no proof of being right. "
        "Measure it on data of your own before anything depends on it.\n"
    )


def _licence(export: Mapping[str, Any]) -> str:
    licence = export["data"]["license"] or "TFDS states none."
    source = export["data"]["source"]
    lines = f"## License of the dataset\n\n{source}: {licence}\n"
    if citation := export["data"]["citation"]:
        lines += "\n" + "\n".join(f"    {line}" for line in citation.splitlines())
        lines += "\n"
    return lines


def _versions(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    return f"## Versions\n\n{versions}\n"


def _cell(name: str) -> str:
    return re.sub(r"([\\`*_<>|#\[\]])", r"\\\1", name)
