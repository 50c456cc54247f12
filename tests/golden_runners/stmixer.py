"""Golden runners of STMixer: sampling in the pyramid, and adaptive mixing."""

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.stmixer.decoder import DecoderConfig, Queries, SamplingMixing, Space
from jaxvision.methods.stmixer.weights import mixing_entries, sampling_entries
from jaxvision.nn.adaptive_mixing import AdaptiveMixing
from jaxvision.ops.sparse_sampling import frame_means, sparse_sampling
from jaxvision.ops.sparse_sampling.pyramid import fractions, level_weights, pyramid_points
from jaxvision.weights import to_variables

DECODER = "alphaction/modeling/stm_decoder/"
MIXING = DECODER + "util/adaptive_mixing_operator.py:AdaptiveMixing"
SAMPLING = (
    f"{DECODER}util/head_utils.py:make_sample_points; "
    f"{DECODER}util/msaq.py:SAMPLE4D,translate_to_linear_weight"
)
BOTH = DECODER + "stm_decoder.py:AdaptiveSTSamplingMixing"


def stmixer_mixing(outputs: int, name: str | None = None) -> AdaptiveMixing:
    return AdaptiveMixing(outputs, activations=("relu", "relu"), norm_epsilon=1e-5, name=name)


@runner("stmixer", MIXING, fixed={"layer_norm_eps": 1e-5})
def mixing(case: Case) -> dict:
    config = case.config
    groups = config["n_groups"]
    entries = [
        *mixing_entries(
            "",
            "params",
            (config["in_points"], config["out_points"]),
            groups=groups,
            channels=config["feat_channels"] // groups,
            width=config["query_dim"],
        )
    ]
    variables, _ = to_variables(case.state_dict(), entries)
    module = stmixer_mixing(config["out_points"])

    @jax.jit
    def run(variables, x, query, cotangent):
        def residual(variables, x, query):
            return query + module.apply(variables, x, query)

        value, pull = jax.vjp(residual, variables, x, query)
        return value, pull(cotangent)

    inputs = (case.input(name) for name in ("x", "query", "cotangent"))
    value, (by_weights, by_x, by_query) = run(variables, *inputs)
    answers = {"out": value, "grad_x": by_x, "grad_query": by_query}
    return answers | gradient_outputs(case.outputs, by_weights, entries)


def boxes_of(case: Case, uniform):
    """The case's boxes: "box_uniform * [...] + [...]"."""
    factor, _, shift = case.config["xyzr"].removeprefix("box_uniform *").partition("+")
    scale, move = (np.array([float(v) for v in t.strip(" []").split(",")]) for t in (factor, shift))
    return uniform * scale.astype(np.float32) + move.astype(np.float32)


def pyramid_of(case: Case) -> list[np.ndarray]:
    names = sorted(n for n in case.input_names() if n.startswith("feature_"))
    return [np.moveaxis(case.input(name), 1, -1) for name in names]


def where(levels, strides, boxes, offsets):
    """(points, level, level weights, points by level) of offsets [b, q, groups * points, 3]."""
    points, level = pyramid_points(boxes, offsets)
    weights = level_weights(level, len(levels))
    by_level = [fractions(points, f.shape, s) for f, s in zip(levels, strides, strict=True)]
    return points, level, weights, by_level


@runner("stmixer", SAMPLING, fixed={"tau": 2.0})
def sampling(case: Case) -> dict:
    config = case.config
    groups, p = config["n_groups"], config["spatial_points"]
    levels, offset = pyramid_of(case), case.input("offset")
    b, q = offset.shape[:2]
    frames, channels = levels[0].shape[1], levels[0].shape[-1]
    sizes = [config[name] for name in ("num_queries", "temporal_length", "feat_channels")]
    assert [q, frames, channels] == sizes

    def run(levels, offset, boxes):
        offsets = config["offset_scale"] * offset.reshape(b, q, groups * p, 3)
        points, level, weights, at = where(levels, config["featmap_strides"], boxes, offsets)
        sampled = sparse_sampling(levels, at, weights, groups=groups, frames="shared")
        # Published: [b, channel, group, t, point, query, 1]; the level counts from z = 0.
        out = sampled.reshape(b, q, groups, p, *sampled.shape[3:])
        out = out.transpose(0, 5, 2, 4, 3, 1)[..., None]
        level = level[..., None] + config["level_offset"]
        return out, (jnp.concatenate([points, level], axis=-1), weights)

    @jax.jit
    def with_gradients(levels, offset, boxes, cotangent):
        value, pull, aux = jax.vjp(run, levels, offset, boxes, has_aux=True)
        return value, aux, pull(cotangent)

    boxes = boxes_of(case, case.input("box_uniform"))
    value, (points, weights), grads = with_gradients(levels, offset, boxes, case.input("cotangent"))
    by_name = {f"feature_{i}": np.moveaxis(g, -1, 1) for i, g in enumerate(grads[0])}
    by_name |= {"offset": grads[1], "xyzr": grads[2]}
    answers = {
        "sample_points": points[:, :, None],
        "level_weights": weights[:, :, None],
        "sampled": value,
    }
    for name in case.outputs:
        if name.startswith("grad_l2/"):
            answers[name] = np.linalg.norm(by_name[name.removeprefix("grad_l2/")])
        elif name.startswith("grad_"):
            answers[name] = by_name[name.removeprefix("grad_")]
    return answers


@runner("stmixer", BOTH)
def sampling_and_mixing(case: Case) -> dict:
    config = case.config
    decoder = DecoderConfig(
        width=config["query_dim"],
        points=config["spatial_points"],
        frames=config["temporal_points"],
        multiplier=config["out_multiplier"],
        groups=config["n_groups"],
        strides=tuple(config["featmap_strides"]),
    )
    module = SamplingMixing(decoder)
    entries = [*sampling_entries(decoder, "", "params", channels=config["feat_channels"])]
    variables, _ = to_variables(case.state_dict(), entries)

    @jax.jit
    def run(variables, levels, boxes, spatial, temporal, cotangents):
        space = Space(levels, frame_means(levels))
        value, pull = jax.vjp(
            lambda v, *queries: module.apply(v, space, Queries(*queries)),
            variables,
            boxes,
            spatial,
            temporal,
        )
        return value, pull(cotangents)

    names = ("spatial_queries", "temporal_queries")
    value, (by_weights, *by_inputs) = run(
        variables,
        tuple(pyramid_of(case)),
        boxes_of(case, case.input("box_uniform")),
        *(case.input(name) for name in names),
        tuple(case.input(f"cotangent_{name}") for name in ("s", "t")),
    )
    answers = dict(zip(names, value, strict=True))
    answers |= {f"grad_{name}": g for name, g in zip(("xyzr", *names), by_inputs, strict=True)}
    return answers | gradient_outputs(case.outputs, by_weights, entries)
