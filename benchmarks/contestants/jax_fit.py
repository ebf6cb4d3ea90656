"""JAX with Flax: the same layers, optax's AdamW, a jitted step, data in memory."""

from __future__ import annotations

import functools
import time

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from benchmarks import data


class MLP(nn.Module):
    """784 -> 256 -> 128 -> 10."""

    @nn.compact
    def __call__(self, x):
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(256)(x))
        return nn.Dense(10)(nn.relu(nn.Dense(128)(x)))


class ConvNet(nn.Module):
    """3x3 convolution of 32 -> max-pool -> 1024 -> 10."""

    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(32, (3, 3))(x)), (2, 2), strides=(2, 2))
        x = nn.relu(nn.Dense(1024)(x.reshape((x.shape[0], -1))))
        return nn.Dense(10)(x)


def prepare(model_name: str, steps: str, batch_size: str):
    """Returns a function that trains ``steps`` steps and returns the seconds."""
    train = data.mnist().train
    images, labels = data.scaled(train.x), train.y
    model = {"mlp": MLP, "convnet": ConvNet}[model_name]()
    key = jax.random.key(0)
    size = int(batch_size)
    params = model.init(key, jnp.zeros((1, 28, 28, 1)))
    optimizer = optax.adamw(1e-3, weight_decay=1e-2)
    state = [params, optimizer.init(params)]

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, slots, x, y):
        def loss_of(params):
            logits = model.apply(params, x)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return losses.mean(), (logits.argmax(-1) == y).mean()

        (loss, accuracy), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, slots = optimizer.update(gradients, slots, params)
        return optax.apply_updates(params, updates), slots, loss, accuracy

    def work() -> float:
        nonlocal key
        began = time.perf_counter()
        key, shuffle = jax.random.split(key)
        order = jax.device_get(jax.random.permutation(shuffle, len(labels)))
        metrics = []
        for number in range(int(steps)):
            indices = order[size * number : size * (number + 1)]
            *state[:], loss, accuracy = step(*state, images[indices], labels[indices])
            metrics.append((loss, accuracy))
        jax.device_get(metrics)
        return time.perf_counter() - began

    return work
