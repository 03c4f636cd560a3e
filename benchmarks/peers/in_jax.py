"""Workloads in JAX, from the same initial numbers: `VERSIONS[name]()` gives `(step, result)` as a workload does."""

import jax
import jax.numpy as jnp

from workloads import training


def mlp():
    """Parameters, moments and the step count are donated; a step waits for its loss."""
    model, x, y = training.mlp_parts("cpu")
    array = lambda t: jnp.array(t.detach().numpy())
    layers = [(array(m.weight), array(m.bias)) for m in model if hasattr(m, "weight")]
    x, y = array(x), array(y)

    def loss_of(layers):
        z = x
        for i, (weight, bias) in enumerate(layers):
            z = z @ weight.T + bias
            if i + 1 < len(layers):
                z = jax.nn.relu(z)
        scores = jax.nn.log_softmax(z)
        return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()

    def adam(count, layers, first, second, rate=1e-3, beta1=0.9, beta2=0.999, tiny=1e-8):
        loss, gradient = jax.value_and_grad(loss_of)(layers)
        count = count + 1
        first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradient)
        scale1, scale2 = 1 - beta1**count, jnp.sqrt(1 - beta2**count)
        update = lambda p, m, v: p - rate / scale1 * m / (jnp.sqrt(v) / scale2 + tiny)
        return count, jax.tree.map(update, layers, first, second), first, second, loss

    adam = jax.jit(adam, donate_argnums=(0, 1, 2, 3))
    zeros = lambda: jax.tree.map(jnp.zeros_like, layers)
    state, losses = [jnp.float32(0), layers, zeros(), zeros()], []

    def step():
        *state[:], loss = adam(*state)
        jax.block_until_ready(state)
        losses.append(loss)
        del losses[:-20]

    return step, lambda: [float(loss) for loss in losses]


VERSIONS = {"MLP 784-256-128-10, batch 64, Adam step": mlp}
