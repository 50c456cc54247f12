"""How well hidden cubes are filled in: by the network, and by two ways that learn nothing."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from ml_collections import ConfigDict

from jaxvision.data.normalisation import to_unit
from jaxvision.methods.videomae import inputs
from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.methods.videomae.objective import seen_statistics
from jaxvision.methods.videomae.reconstruction import PICTURES, reconstruct, seen_cubes
from jaxvision.nn.patches import patchify
from jaxvision.ops.token_masks import Window
from jaxvision.tasks.record_rows import collect
from jaxvision.training.task import Batch, Evaluation, Variables

WAYS = ("network", "mean_colour", "nearest_cubes")
SHOWN = 3  # clips in the picture


def mean_colour(
    cubes: Float[Array, "b n cube"], seen: Bool[Array, "b n"]
) -> Float[Array, "b n cube"]:
    """Every cube in the mean colour of the clip's visible ones."""
    colour, _ = seen_statistics(cubes, seen)
    tiled = jnp.tile(colour, cubes.shape[2] // 3)  # the channel is fastest inside a cube
    return jnp.broadcast_to(tiled[:, None], cubes.shape)


def nearest_cubes(
    cubes: Float[Array, "b n cube"], seen: Bool[Array, "b n"], window: Window
) -> Float[Array, "b n cube"]:
    """Every cube as the mean of the visible ones nearest to it in time and space, a cube in time
    being as far as a cube in space. `window`: cubes (t, h, w)."""
    places = np.stack(np.unravel_index(np.arange(np.prod(window)), window), axis=-1)
    distances = np.square(places[:, None] - places).sum(axis=-1).astype(np.float32)
    to_seen = jnp.where(seen[:, None], distances, jnp.inf)
    nearest = to_seen == jnp.min(to_seen, axis=2, keepdims=True)
    weights = nearest / jnp.sum(nearest, axis=2, keepdims=True)
    return jnp.einsum("bnm,bmc->bnc", weights, cubes, precision="highest")


def hidden_error(
    filled: Float[Array, "b n cube"], cubes: Float[Array, "b n cube"], seen: Bool[Array, "b n"]
) -> Float[Array, " b"]:
    """Mean squared error over each clip's hidden cubes."""
    hidden = (~seen).astype(jnp.float32)
    error = jnp.mean(jnp.square(filled - cubes), axis=2)
    return jnp.sum(error * hidden, axis=1) / jnp.sum(hidden, axis=1)


def filling_evaluation(config: ConfigDict, model: MaskedAutoencoder) -> Evaluation:
    """PSNR (dB) of the hidden cubes of held-out photographs under a moving camera, of the mean
    error over all of them, by each of WAYS; and a picture of the first clips."""
    grid = model.grid

    def outputs(variables: Variables, batch: Batch, rng: Any) -> dict[str, Array]:
        found = reconstruct(model, variables, batch, config.task.normalise_target)
        cubes = patchify(to_unit(batch["video"]), grid.tubelet, grid.patch)
        seen = seen_cubes(batch["visible"], grid.tokens)
        ways = (mean_colour(cubes, seen), nearest_cubes(cubes, seen, grid.window))
        errors = (found["error"], *(hidden_error(way, cubes, seen) for way in ways))
        return {**found, **dict(zip(WAYS, errors, strict=True))}

    def accumulate(
        total: Any, outputs: Mapping[str, np.ndarray], index: np.ndarray, bucket: str
    ) -> Any:
        """The errors of every clip, the videos of those that are shown."""
        errors = {way: outputs[way] for way in WAYS}
        total = collect(total, errors, index, bucket)
        for row in np.flatnonzero(index < SHOWN):
            total[int(index[row])] |= {name: outputs[name][row] for name in PICTURES.rows}
        return total

    def finish(total: Mapping[int, Mapping], variables: Variables) -> dict[str, float]:
        clips = [total[number] for number in sorted(total)]
        return {way: float(-10 * np.log10(np.mean([clip[way] for clip in clips]))) for way in WAYS}

    def render(total: Mapping[int, Mapping]) -> dict[str, np.ndarray]:
        shown = [total[number] for number in sorted(total)[:SHOWN]]
        videos = {name: np.stack([clip[name] for clip in shown]) for name in PICTURES.rows}
        return {"held_out": PICTURES.picture(videos, clips=SHOWN)}

    source, specs = inputs.held_out_source(config)
    return Evaluation(
        source=source,
        batch_specs=specs,
        outputs=outputs,
        accumulate=accumulate,
        finish=finish,
        render=render,
    )
