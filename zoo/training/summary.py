"""The summary that is printed at the end of a training."""

from __future__ import annotations

from zoo.console import align
from zoo.data.dataset import dimensions
from zoo.runs.run import Run


def summary(trained: Run) -> str:
    """Returns the summary of a run as a table."""
    result = trained.result
    counts = f"{result['num_train_examples']:,} / {result['num_test_examples']:,}"
    if validation := result.get("num_validation_examples"):
        counts = counts.replace(" / ", f" / {validation:,} / ")
    dataset = f"{result['dataset']} ({counts} examples)"
    if result["dataset"] != result["dataset_requested"]:
        dataset += f" instead of {result['dataset_requested']}"
    devices = result["strategy"]["name"]
    if result["strategy"]["replicas"] > 1:
        devices += ", {replicas} replicas on {workers} worker(s)".format_map(
            result["strategy"]
        )
    steps = f"{result['steps']:,} steps" if result["steps"] else "only the head"
    rows = [
        ("model", f"{result['model']}, recipe {result['recipe']}"),
        ("dataset", dataset),
    ]
    data = trained.config["data"]
    if data["class_names"]:
        images = (
            f"{dimensions(data['input_shape'])}, {len(data['class_names'])} classes"
        )
        rows.append(("images", images))
    if "learned" in result:
        rows.append(("", "weight    bias"))
        for name in ("learned", "true", "least_squares"):
            line = f"{result[name]['weight']:.4f}  {result[name]['bias']:.4f}"
            rows.append((name.replace("_", " "), line))
        rows.append(("test loss", f"{result['test']['loss']:.4f}"))
    else:
        rows.append(("test accuracy", f"{100 * result['test']['accuracy']:.2f}%"))
    rows += [
        ("parameters", f"{result['num_params']:,}"),
        ("devices", devices),
        ("training", f"{result['train_seconds']:.1f} s, {steps}"),
        ("examples/s", f"{result['examples_per_second']:,}"),
        ("run directory", f"{trained.run.path}"),
    ]
    if trained.done_before:
        rows.insert(0, ("done before", "nothing to do; --overwrite trains again"))
    return "\n".join(align(rows))
