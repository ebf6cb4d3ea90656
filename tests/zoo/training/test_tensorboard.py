"""Reads the folder tensorboard of a run with TensorBoard's own reader."""

from __future__ import annotations

import json
import math
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import zoo
from zoo.errors import Interrupted, UserError
from zoo.plots import draw, overview
from zoo.training import trainer
from zoo.training.config import Config, parse_profile_steps

OVERRIDES = {"epochs": 4, "batch_size": 16, "steps_per_execution": 10}


def read(directory):
    accumulator = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.tensor_proto) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
    }


def numbers(events):
    return [(step, float(tf.make_ndarray(tensor))) for step, tensor in events]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, data_dir):
    """A run with all options for TensorBoard, and its pictures."""
    config = Config(
        "linear",
        dataset="digits",
        data_dir=str(data_dir),
        run_dir=str(tmp_path_factory.mktemp("tensorboard") / "run"),
        gradient_norm=True,
        histograms=True,
        profile_steps=(95, 115),
        overrides=OVERRIDES | {"augment": {"shift": 0.05, "rotate": 5.0}},
    )
    outcome = trainer.train(config)
    draw.draw_run(outcome)
    return outcome


def test_scalars_are_those_of_metrics_csv(outcome):
    rows = overview.read_metrics(outcome.run.metrics)
    for split, prefix in (("train", ""), ("validation", "val_")):
        found = read(outcome.run.tensorboard / split)
        for name in ("loss", "accuracy"):
            steps, values = zip(*numbers(found[f"epoch_{name}"]), strict=True)
            assert steps == (0, 1, 2, 3)
            expected = [float(row[prefix + name]) for row in rows]
            np.testing.assert_allclose(values, expected)
    found = read(outcome.run.tensorboard / "train")["epoch_gradient_norm"]
    norms = [float(row["gradient_norm"]) for row in rows]
    np.testing.assert_allclose([value for _, value in numbers(found)], norms)


def test_the_learning_rate_is_that_of_its_steps(outcome):
    settings = json.loads((outcome.run.path / "config.json").read_text())
    recipe = settings["identity"]["settings"]
    assert recipe["schedule"] == "cosine"
    found = read(outcome.run.tensorboard / "train")["learning_rate"]
    total = outcome.result["steps"]
    assert [step for step, _ in found] == [*range(1, total + 1)]
    warmup = round(recipe["warmup"] * total)
    for step, rate in numbers(found):
        done = step - 1  # steps before this one
        if done < warmup:
            expected = done / warmup
        else:
            expected = (1 + math.cos(math.pi * (done - warmup) / (total - warmup))) / 2
        assert rate == pytest.approx(recipe["learning_rate"] * expected, abs=1e-6)


def test_a_resumed_run_counts_on(config, outcome, at_step):
    asked = config("linear", overrides=OVERRIDES)
    at_step(250, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        trainer.train(asked)
    resumed = trainer.train(asked)
    whole, rates = (
        numbers(read(run.tensorboard / "train")["learning_rate"])
        for run in (outcome.run, resumed.run)
    )
    assert dict(rates) == pytest.approx(dict(whole))


def test_a_constant_rate_is_written_for_each_step_too(config):
    overrides = {"schedule": "constant", "warmup": 0.0, "epochs": 1}
    trained = trainer.train(config("linear", overrides=overrides))
    found = numbers(read(trained.run.tensorboard / "train")["learning_rate"])
    assert [step for step, _ in found] == [*range(1, trained.result["steps"] + 1)]
    assert {round(rate, 6) for _, rate in found} == {0.1}


def test_histograms_pictures_and_hyperparameters(outcome):
    directory = outcome.run.tensorboard
    trained = read(directory / "train")
    histograms = [events for tag, events in trained.items() if "histogram" in tag]
    assert len(histograms) == 2
    for events in histograms:
        assert [step for step, _ in events] == [0, 1, 2, 3]
    weights = zoo.load_run(outcome.run.path).trainable_weights
    for variable in weights:
        (_, last), *_ = reversed(trained[f"{variable.path}/histogram"])
        buckets = tf.make_ndarray(last)  # left edge, right edge, count
        assert buckets[:, 2].sum() == variable.numpy().size
        assert buckets[0, 0] == pytest.approx(variable.numpy().min())
        assert buckets[-1, 1] == pytest.approx(variable.numpy().max())
    found = read(directory)
    for name in ("curves", "confusion", "mistakes"):
        ((_, tensor),) = found[name]
        width, _, png, *_ = tf.make_ndarray(tensor)
        assert int(width) == 800
        assert tf.io.decode_png(png).shape[1] == 800
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    contents = accumulator.summary_metadata["_hparams_/session_start_info"]
    data = plugin_data_pb2.HParamsPluginData.FromString(contents.plugin_data.content)
    hparams = data.session_start_info.hparams
    assert hparams["model"].string_value == "linear"
    assert hparams["batch_size"].number_value == 16
    assert hparams["schedule"].string_value == "cosine"
    assert hparams["augment"].string_value == "shift=0.05,rotate=5.0"
    assert hparams["dataset"].string_value == "digits"


def test_the_steps_asked_for_are_profiled(outcome):
    found = [*outcome.run.path.glob("tensorboard/train/plugins/profile/*/*.xplane.pb")]
    assert len(found) == 1
    profile = xplane_pb2.XSpace.FromString(found[0].read_bytes())
    (host,) = (plane for plane in profile.planes if plane.name == "/host:CPU")
    marks = {
        stat.int64_value: event.duration_ps
        for line in host.lines
        for event in line.events
        if host.event_metadata[event.metadata_id].name == "Profiled batch"
        for stat in event.stats
        if host.stat_metadata[stat.metadata_id].name == "step_num"
    }
    # The calls of ten steps that run steps 95 to 115. They are the first ones of the
    # second epoch, which begins after 89 steps. Each mark lasts as long as its call.
    assert [*marks] == [0, 10, 20]
    assert min(marks.values()) > 5e8


def test_nothing_is_written_unless_asked(config):
    outcome = trainer.train(config("linear", tensorboard=False))
    assert not (outcome.run.tensorboard).exists()


def test_what_cannot_be_written_costs_a_warning_and_no_run(config, monkeypatch, capfd):
    def fail(*_):
        raise OSError("No space\nleft")

    monkeypatch.setattr(keras.callbacks.TensorBoard, "_log_epoch_metrics", fail)
    outcome = trainer.train(config("linear"))
    (line,) = [
        line for line in capfd.readouterr().err.splitlines() if "TensorBoard:" in line
    ]
    assert line.startswith("WARNING: Nothing more is written to ")
    assert line.endswith(" for TensorBoard: OSError: No space left.")
    assert outcome.result["steps"] > 0


@pytest.mark.parametrize("text", ["10", "20,10", "0,5", "a,b", "1,2,3", ""])
def test_profile_steps_that_are_none(text):
    with pytest.raises(UserError, match=r"--profile_steps must be .* Received: "):
        parse_profile_steps(text)
