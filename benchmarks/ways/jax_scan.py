"""JAX: a whole epoch as one compiled `lax.scan`, with Adam written out."""

import time
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, random

from benchmarks.task import Laps, Result, Task

State = tuple[Any, Any, Any, jax.Array]  # parameters, their two moments, the number of steps


def train(task: Task) -> Result:
    """Compiled before the first epoch."""
    x, weights = jnp.asarray(task.scaled(task.images)), jax.tree.map(jnp.asarray, task.weights())
    m, v = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    state, keys = (weights, m, v, jnp.zeros(())), random.split(random.key(task.seed), task.epochs)
    parameters, began, laps = sum(p.size for p in jax.tree.leaves(m)), time.perf_counter(), Laps()
    epoch = jax.jit(epoch_of(task), donate_argnums=0).lower(state, x, keys[0]).compile()
    compiling = time.perf_counter() - began
    loss = 0.0
    for key in list(keys):
        laps.start()
        state, mean = epoch(state, x, key)
        loss = float(mean)
        laps.stop()
    return Result(laps.seconds, loss, parameters, compiling)


def epoch_of(task: Task) -> Any:
    """(state, data, key) -> (state, mean loss); the last, partial batch comes after the scan."""
    gradient = jax.value_and_grad(lambda *given: mean_loss(task, *given))
    n, batch = len(task.images), task.batch_size
    whole = n // batch * batch

    def step(state: State, x: jax.Array, key: jax.Array) -> tuple[State, jax.Array]:
        value, slope = gradient(state[0], x, key)
        return adam(task, state, slope), value * len(x)

    def epoch(state: State, x: jax.Array, key: jax.Array) -> tuple[State, jax.Array]:
        keys = random.split(key, whole // batch + 2)
        order = random.permutation(keys[0], n)
        given = order[:whole].reshape(-1, batch), keys[2:]
        state, sums = lax.scan(lambda s, i: step(s, x[i[0]], i[1]), state, given)
        total = sums.sum()
        if whole < n:
            state, rest = step(state, x[order[whole:]], keys[1])
            total += rest
        return state, total / n

    return epoch


def mean_loss(task: Task, weights: Any, x: jax.Array, key: jax.Array) -> jax.Array:
    """Mean loss per feature, the cross-entropy on logits."""
    h = x
    if task.std:
        h = jnp.clip(x + task.std * random.normal(key, x.shape), task.low, 1)
    for w, b in weights[:-1]:
        h = jax.nn.relu(h @ w + b)
    w, b = weights[-1]
    h = h @ w + b
    if task.bernoulli:
        return (jax.nn.softplus(h) - x * h).mean()
    return jnp.square((jnp.tanh(h) if task.low else jax.nn.sigmoid(h)) - x).mean()


def adam(task: Task, state: State, slope: Any) -> State:
    """A step of Adam, as PyTorch's."""
    weights, m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, slope)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, slope)
    rate, root = task.rate / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)

    def moved(w: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return w - rate * m / (jnp.sqrt(v) / root + task.epsilon)

    return jax.tree.map(moved, weights, m, v), m, v, t
