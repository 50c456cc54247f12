"""CoMAE's pretraining steps beside PyTorch, and the masked form of modality drop beside branches.

    python benchmarks/comae.py [--size base] [--pairs 2] [--rounds 3]

One run. Each row is a whole step (loss, gradient, AdamW) on pairs that are on the device already;
the ways take turns, and ratios are medians over the rounds. PyTorch's losses must be ours before
anything is timed; without torch its part is left out. Float32 on a CPU, bfloat16 products on a GPU.

Modality drop: a sample that is shown one modality keeps all 394 tokens with half of them hidden
(masked form), or a program of its own for what is drawn runs 198 of them (branch). Both give the
same logits. Expected: half of the draws show both modalities, a quarter each one alone.
"""

import argparse
import functools
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.core import meta
from jaxtyping import Array, Bool, Float
from rich.console import Console
from rich.table import Table
from timing import alternately

from jaxvision.methods.comae import objective, variants
from jaxvision.methods.comae.model import MODALITIES, SceneClassifier
from jaxvision.methods.comae.pretrained import entries_of
from jaxvision.nn.patches import CubeEmbedding
from jaxvision.nn.transformer import TransformerStack, layer_norm
from jaxvision.weights import to_state_dict

OPTIMIZER = optax.adamw(1e-4, b2=0.95, weight_decay=0.05)
Step = Callable[[], Any]
LOSSES_DIFFER = {"float32": 1e-4, "bfloat16": 2e-2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="base", choices=tuple(variants.SIZES))
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    dtype = "bfloat16" if jax.default_backend() == "gpu" else "float32"
    console = Console(width=110)
    kind = jax.devices()[0].device_kind
    console.print(f"{arguments.size}, {arguments.pairs} pairs of 224 x 224 on {kind}, {dtype}")
    console.print(beside_torch(arguments, dtype))
    console.print(modality_drop(arguments, dtype))


def beside_torch(arguments: argparse.Namespace, dtype: str) -> Table:
    """The steps of stages 1 and 2: our milliseconds, and PyTorch's time over ours."""
    pair = random_pair(arguments.pairs)
    table = Table("step", "ms", "PyTorch, fused attention / ours", "as published / ours")
    for stage in ("contrast", "autoencoder"):
        network = variants.network(arguments.size, stage, dtype=dtype)
        loss = contrast_loss if stage == "contrast" else autoencoder_loss
        kept = () if stage == "contrast" else (np.zeros((1, 49), np.int32),) * 2
        variables = random_variables(network, *(pair[name][:1] for name in MODALITIES), *kept)
        ours = stepper(functools.partial(loss, network), variables, pair)
        steps = [ours, *torch_steps(stage, network, variables, pair)]
        first = [float(step()) for step in steps]
        if not np.allclose(first, first[0], rtol=LOSSES_DIFFER[dtype]):
            raise SystemExit(f"{stage}: PyTorch's losses differ from ours: {first}")
        mine, *others = alternately(steps, arguments.rounds)
        table.add_row(
            stage,
            f"{statistics.median(mine) * 1e3:.0f}",
            *(f"{ratio(other, mine):.2f}" for other in others),
        )
    return table


def torch_steps(
    stage: str, network: Any, variables: Any, pair: dict[str, np.ndarray]
) -> list[Step]:
    """The stage in PyTorch, with its fused attention and with the published one; none without."""
    try:
        import comae_torch
    except ImportError as error:
        print(f"beside PyTorch: not measured ({error})")
        return []
    weights = to_state_dict(variables, entries_of(network))
    step = getattr(comae_torch, f"{stage}_step")
    return [step(network, weights, pair, fused) for fused in (True, False)]


def ratio(other: list[float], mine: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(other, mine, strict=True))


def random_pair(pairs: int) -> dict[str, np.ndarray]:
    """Pictures of noise, and the noise that masks are drawn by."""
    rng = np.random.default_rng(0)
    pictures = {
        name: rng.standard_normal((pairs, 224, 224, 3), dtype=np.float32) for name in MODALITIES
    }
    noises = {f"noise_{name}": rng.random((pairs, 196), np.float32) for name in MODALITIES}
    return pictures | noises


def random_variables(network: Any, *inputs: np.ndarray) -> Any:
    """Small random weights everywhere, tables too, so that no branch of the network is zero."""
    shapes = meta.unbox(jax.eval_shape(network.init, jax.random.key(0), *inputs))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: jnp.asarray(0.02 * rng.standard_normal(x.shape), jnp.float32), shapes
    )


def contrast_loss(network: Any, variables: Any, pair: dict[str, Array]) -> Float[Array, ""]:
    logits = network.apply(variables, pair["rgb"], pair["depth"])
    return jnp.mean(objective.contrast_loss(logits))


def autoencoder_loss(network: Any, variables: Any, pair: dict[str, Array]) -> Float[Array, ""]:
    masks = [
        objective.masked_patches(pair[f"noise_{name}"], network.grid.patches // 4)
        for name in MODALITIES
    ]
    kept = [indices for indices, _ in masks]
    predicted = network.apply(variables, pair["rgb"], pair["depth"], *kept)
    loss = jnp.float32(0)
    for name, values, (_, mask) in zip(MODALITIES, predicted, masks, strict=True):
        target = objective.patch_targets(network.grid.cut(pair[name]))
        total, count = objective.masked_error(values, target, mask)
        loss += total / count
    return loss


def stepper(
    loss: Callable[[Any, dict[str, Array]], Float[Array, ""]], variables: Any, data: dict
) -> Step:
    """A compiled step of AdamW on `data`, with a copy of the weights that it moves on."""
    variables = jax.tree.map(jnp.copy, variables)
    params, rest = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    placed = jax.device_put(data)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: tuple, data: dict[str, Array]) -> tuple[tuple, Float[Array, ""]]:
        params, moments = state
        value, gradient = jax.value_and_grad(lambda p: loss({"params": p, **rest}, data))(params)
        updates, moments = OPTIMIZER.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    state = [(params, OPTIMIZER.init(params))]

    def run() -> Float[Array, ""]:
        state[0], value = step(state[0], placed)
        return value

    return run


def shown_logits(
    model: SceneClassifier, variables: Any, shown: dict[str, Float[Array, "b h w 3"]]
) -> Float[Array, "b classes"]:
    """Logits of `model` with mean pooling from the modalities `shown` alone: the others' patches
    are not in the sequence, their class token is."""
    params, block = variables["params"], model.block
    positions = params["positions"].astype(block.dtype)
    first = params["class_token"].astype(block.dtype) + positions[0]
    rows = len(next(iter(shown.values())))
    parts = [jnp.broadcast_to(first, (rows, len(MODALITIES), block.width))]
    for name, picture in shown.items():
        embed = CubeEmbedding(block.width, dtype=block.dtype)
        cut = model.grid.cut(picture.astype(block.dtype))
        parts.append(embed.apply({"params": params[f"{name}_embedding"]}, cut) + positions[1:])
    tokens = jnp.concatenate(parts, axis=1)
    tokens = TransformerStack(block, model.depth).apply({"params": params["stack"]}, tokens)
    pooled = jnp.mean(tokens[:, len(MODALITIES) :].astype(jnp.float32), axis=1)
    norm = {"params": params["pooled_norm"]}
    pooled = layer_norm(block, "pooled_norm").apply(norm, pooled.astype(block.dtype))
    head = params["head"]
    return pooled.astype(jnp.float32) @ head["kernel"] + head["bias"]


def modality_drop(arguments: argparse.Namespace, dtype: str) -> Table:
    """Steps of stage 3 with a modality left out: hidden, and cut off."""
    pair, rows = random_pair(arguments.pairs), arguments.pairs
    model = variants.network(arguments.size, "sunrgbd", dtype=dtype)
    variables = random_variables(model, pair["rgb"][:1], pair["depth"][:1])
    labels = np.arange(rows) % model.classes
    only_depth = np.tile([False, True], (rows, 1))

    def masked(variables: Any, data: dict[str, Array]) -> Float[Array, "b classes"]:
        return model.apply(variables, data["rgb"], data["depth"], data["seen"])

    def both(variables: Any, data: dict[str, Array]) -> Float[Array, "b classes"]:
        return model.apply(variables, data["rgb"], data["depth"])

    def branch(variables: Any, data: dict[str, Array]) -> Float[Array, "b classes"]:
        return shown_logits(model, variables, {"depth": data["depth"]})

    data: dict[str, Bool[np.ndarray, "b 2"] | np.ndarray] = {
        "rgb": pair["rgb"],
        "depth": pair["depth"],
        "labels": labels,
        "seen": only_depth,
    }
    hidden, cut = (jax.jit(way)(variables, data) for way in (masked, branch))
    np.testing.assert_allclose(hidden, cut, atol=1e-4 if dtype == "float32" else 3e-2)

    def loss_of(logits: Callable) -> Callable:
        def loss(variables: Any, data: dict[str, Array]) -> Float[Array, ""]:
            found = logits(variables, data)
            wanted = data["labels"]
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(found, wanted))

        return loss

    steps = [stepper(loss_of(way), variables, data) for way in (masked, both, branch)]
    times = alternately(steps, arguments.rounds)
    expected = [(two + one) / 2 for _, two, one in zip(*times, strict=True)]
    table = Table("step of stage 3", "ms", "masked form / it")
    names = ("masked form", "both modalities, no mask", "branch of one modality")
    for name, taken in zip((*names, "branches, expected"), (*times, expected), strict=True):
        median = statistics.median(taken) * 1e3
        table.add_row(name, f"{median:.0f}", f"{ratio(times[0], taken):.2f}")
    return table


if __name__ == "__main__":
    main()
