"""Reads the folder tensorboard of a run with TensorBoard's own reader."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import zoo
from zoo.errors import Interrupted
from zoo.plots import overview
from zoo.training import trainer
from zoo.training.config import Config

OVERRIDES = {"epochs": 4, "batch_size": 16, "steps_per_execution": 10}


def read(directory):
    accumulator = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    accumulator.Reload()
    # Files of the same second are read in the order of their names.
    return {
        tag: sorted(
            ((event.step, event.tensor_proto) for event in accumulator.Tensors(tag)),
            key=lambda pair: pair[0],
        )
        for tag in accumulator.Tags()["tensors"]
    }


def check_scalars(run, *more):
    """Checks that the scalars of each epoch are those of metrics.csv."""
    rows = overview.read_metrics(run.metrics)
    common = ("loss", "accuracy")
    for split, prefix, names in (
        ("train", "", (*common, "learning_rate", *more)),
        ("validation", "val_", common),
    ):
        found = read(run.tensorboard / split)
        for name in names:
            steps, values = zip(*found[f"epoch_{name}"], strict=True)
            assert steps == (0, 1, 2, 3)
            values = [float(tf.make_ndarray(value)) for value in values]
            expected = [float(row[prefix + name]) for row in rows]
            np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, data_dir):
    """A run with all options for TensorBoard."""
    config = Config(
        "linear",
        dataset="digits",
        data_dir=str(data_dir),
        run_dir=str(tmp_path_factory.mktemp("tensorboard") / "run"),
        gradient_norm=True,
        histograms=True,
        profile_steps=(95, 115),
        overrides=OVERRIDES,
    )
    return trainer.train(config)


def test_scalars_are_those_of_metrics_csv(outcome):
    check_scalars(outcome.run, "gradient_norm")


def test_a_resumed_run_counts_on(config, at_step):
    asked = config("linear", overrides=OVERRIDES)
    at_step(250, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted):
        trainer.train(asked)
    check_scalars(trainer.train(asked).run)


def test_histograms_and_hyperparameters(outcome):
    directory = outcome.run.tensorboard
    trained = read(directory / "train")
    for variable in zoo.load_run(outcome.run.path).trainable_weights:
        events = trained[f"{variable.path}/histogram"]
        assert [step for step, _ in events] == [0, 1, 2, 3]
        buckets = tf.make_ndarray(events[-1][1])  # left edge, right edge, count
        assert buckets[:, 2].sum() == variable.numpy().size
        assert buckets[0, 0] == pytest.approx(variable.numpy().min())
        assert buckets[-1, 1] == pytest.approx(variable.numpy().max())
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    contents = accumulator.summary_metadata["_hparams_/session_start_info"]
    data = plugin_data_pb2.HParamsPluginData.FromString(contents.plugin_data.content)
    hparams = data.session_start_info.hparams
    assert hparams["model"].string_value == "linear"
    assert hparams["batch_size"].number_value == 16
    assert hparams["schedule"].string_value == "cosine"
    assert hparams["dataset"].string_value == "digits"


def test_the_steps_asked_for_are_profiled(outcome):
    found = [*outcome.run.path.glob("tensorboard/train/plugins/profile/*/*.xplane.pb")]
    assert len(found) == 1
    profile = xplane_pb2.XSpace.FromString(found[0].read_bytes())
    (host,) = (plane for plane in profile.planes if plane.name == "/host:CPU")
    marks = {
        stat.int64_value
        for line in host.lines
        for event in line.events
        if host.event_metadata[event.metadata_id].name == "Profiled batch"
        for stat in event.stats
        if host.stat_metadata[stat.metadata_id].name == "step_num"
    }
    # The calls of ten steps that run steps 95 to 115. They are the first ones of the
    # second epoch, which begins after 89 steps.
    assert marks == {0, 10, 20}


def test_nothing_is_written_unless_asked(config):
    outcome = trainer.train(config("linear", tensorboard=False))
    assert not outcome.run.tensorboard.exists()
