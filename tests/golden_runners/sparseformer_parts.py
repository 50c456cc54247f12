"""Golden runners of SparseFormer's parts: sampling, boxes, norms, mixing, stem."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from golden_runners.sparseformer import SHOWLAB, channels_last
from jaxvision.methods.sparseformer import geometry
from jaxvision.methods.sparseformer.model import Stem, channel_norm
from jaxvision.methods.sparseformer.weights import mixing_entries, stem_entries
from jaxvision.nn.adaptive_mixing import AdaptiveMixing
from jaxvision.ops.sparse_sampling import sparse_sampling
from jaxvision.weights import to_variables

PAPER = "imagenet/models/sparseformer.py:"
PACKAGE = "sparseformer/sparseformer/modeling.py:"
VIDEO = "sparseformer/sparseformer/media.py:"


def with_gradients(function, *inputs, cotangent):
    """(value, gradients by every input) in one compiled call."""

    @jax.jit
    def run(inputs, cotangent):
        value, pull = jax.vjp(function, *inputs)
        return value, pull(cotangent)

    return run(inputs, cotangent)


def sampled(case: Case, padding: str, clamp: float = 0.0):
    """(value, gradient by the features channels first, gradient by the points)."""
    features = channels_last(case.input("features"))
    bound = clamp / features.shape[-3]

    def sample(features, points):
        points = geometry.clamp_gradient(points, jnp.float32(bound)) if clamp else points
        return sparse_sampling(features, points, padding=padding)

    cotangent = case.input("grad_output")
    value, grads = with_gradients(sample, features, case.input("points"), cotangent=cotangent)
    return value, np.moveaxis(grads[0], -1, 1), grads[1]


@runner(
    "sparseformer",
    PAPER + "feat_sampling_2d",
    fixed={"op": "sample_2d", "variant": "imagenet", "align_corners": False},
)
def sampling_of_the_paper(case: Case) -> dict:
    value, by_features, by_points = sampled(case, "zeros", 1.0)
    edges = functools.partial(sparse_sampling, channels_last(case.input("features")))
    return {
        "sampled": value,
        "grad_features": by_features,
        "grad_points": by_points,
        "grad_points_scale4": sampled(case, "zeros", 4.0)[2],
        "grad_points_unclamped": sampled(case, "zeros")[2],
        "edge_sampled": jax.jit(edges)(case.input("edge_points")),
    }


@runner(
    "sparseformer",
    PACKAGE + "sampling_from_img_feat",
    VIDEO + "sampling_from_img_feat_3d",
    fixed={"variant": "package", "align_corners": False},
    ignores={"op": "the component says it"},
)
def sampling_of_the_package(case: Case) -> dict:
    answers = {}
    for name, clamp in (("zeros", 0.0), ("border", 0.0), ("border_clamped", 1.0)):
        if f"{name}_sampled" in case.outputs:
            padding = name.removesuffix("_clamped")
            value, by_features, by_points = sampled(case, padding, clamp)
            answers |= {
                f"{name}_sampled": value,
                f"{name}_grad_features": by_features,
                f"{name}_grad_points": by_points,
            }
        if f"{name}_edge_sampled" in case.outputs:
            features = channels_last(case.input("features"))
            at_edges = functools.partial(sparse_sampling, padding=name)
            answers[f"{name}_edge_sampled"] = jax.jit(at_edges)(features, case.input("edge_points"))
    return answers


@runner(
    "sparseformer",
    f"{PAPER}translate_to_absolute_coordinates; {SHOWLAB}{PACKAGE}make_absolute_sampling_point; "
    f"{SHOWLAB}{VIDEO}make_absolute_sampling_point_3d",
    fixed={"op": "points_from_boxes"},
    ignores={"num_points": "the shapes of the inputs say it"},
)
def points_from_boxes(case: Case) -> dict:
    answers = {}
    for name, epsilon in case.config["eps"].items():
        suffix = "3d" if name == "video" else ""
        points = functools.partial(geometry.sampling_points, epsilon=epsilon)
        roi, offset = case.input(f"roi{suffix}"), case.input(f"offset{suffix}")
        cotangent = case.input(f"grad_output{suffix}")
        value, grads = with_gradients(points, roi, offset, cotangent=cotangent)
        answers |= {
            f"{name}_points": value,
            f"{name}_grad_roi": grads[0],
            f"{name}_grad_offset": grads[1],
        }
        if f"{name}_zero_time_points" in case.outputs:
            still = offset.reshape(*offset.shape[:2], -1, 3) * np.float32([1, 1, 0])
            value, grads = with_gradients(
                points, roi, still.reshape(offset.shape), cotangent=cotangent
            )
            by_offset = grads[1].reshape(still.shape)
            answers |= {
                f"{name}_zero_time_points": value,
                f"{name}_zero_time_grad_roi": grads[0],
                f"{name}_zero_time_grad_offset_xy": by_offset[..., :2],
                f"{name}_zero_time_grad_offset_t": by_offset[..., 2],
            }
    return answers


@runner(
    "sparseformer",
    f"{PAPER}roi_adjust; {SHOWLAB}{VIDEO}roi_adjust_3d",
    fixed={"op": "adjust_boxes"},
)
def adjusted_boxes(case: Case) -> dict:
    answers = {}
    for suffix in ("", "3d"):
        value, grads = with_gradients(
            geometry.adjust_boxes,
            case.input(f"roi{suffix}"),
            case.input(f"adjust{suffix}"),
            cotangent=case.input(f"grad_output{suffix}"),
        )
        answers |= {
            f"box{suffix}": value,
            f"grad_roi{suffix}": grads[0],
            f"grad_adjust{suffix}": grads[1],
        }
    return answers


@runner(
    "sparseformer",
    PACKAGE + "position_encoding",
    fixed={"op": "box_position_encoding", "max_temperature": 128},
)
def position_encoding(case: Case) -> dict:
    encode = jax.jit(geometry.box_position_encoding, static_argnums=1)
    return {f"encoding_{d}": encode(case.input("roi"), d) for d in case.config["dims"]}


@runner(
    "sparseformer",
    f"{PAPER}layer_norm_by_dim; {SHOWLAB}{PACKAGE}layer_norm_by_dim",
    fixed={"op": "channel_norm"},
)
def norm_over_channels(case: Case) -> dict:
    answers = {}
    for name in ("imagenet", "package"):
        given = case.config[name]
        norm = functools.partial(channel_norm, epsilon=given["eps"], unbiased=given["unbiased"])
        x, cotangent = (channels_last(case.input(n)) for n in ("x", "grad_output"))
        value, grads = with_gradients(norm, x, cotangent=cotangent)
        answers[name] = np.moveaxis(value, -1, 1)
        answers[f"{name}_grad_x"] = np.moveaxis(grads[0], -1, 1)
    return answers


@runner("sparseformer", PAPER + "AdaptiveMixing", PACKAGE + "AdaptiveMixing")
def mixing(case: Case) -> dict:
    config = case.config
    module = AdaptiveMixing(
        config["out_points"],
        config["generator_dim"],
        config["generator_norm_eps"],
        config["mixing_bias"],
        ("gelu" if config["mixing_bias"] else "none", "gelu"),
    )
    entries = mixing_entries(
        module,
        config["in_points"],
        config["in_dim"],
        config["query_dim"],
        paper_names=case.component.startswith(PAPER),
    )
    variables, _ = to_variables(case.state_dict(), entries)

    def mix(variables, sampled, query):
        return module.apply(variables, sampled[:, :, None], query)

    value, (by_weights, by_sampled, by_query) = with_gradients(
        mix,
        variables,
        case.input("sampled"),
        case.input("query"),
        cotangent=case.input("grad_output"),
    )
    answers = {"out": value, "grad_sampled": by_sampled, "grad_query": by_query}
    return answers | gradient_outputs(case.outputs, by_weights, entries)


@runner(
    "sparseformer",
    f"{PAPER}EarlyConvolution; {SHOWLAB}{PACKAGE}EarlyConvolution",
    fixed={"block": "stem"},
)
def stem(case: Case) -> dict:
    answers: dict = {}
    for flavour, given in case.config["flavours"].items():
        unbiased = given["channel_norm_divisor"] == "C-1"
        module = Stem(case.config["conv_dim"], given["eps"], unbiased)
        entries = list(stem_entries(case.config["conv_dim"], path="params", prefix=""))
        variables, _ = to_variables(case.state_dict(), entries)
        for name in ("image", "image_even"):
            value = jax.jit(module.apply)(variables, channels_last(case.input(name)))
            answers[f"{flavour}_{name}"] = np.moveaxis(value, -1, 1)
        if f"{flavour}_even_grad_image" in case.outputs:
            _, (by_weights, by_image) = with_gradients(
                module.apply,
                {"params": variables["params"]},
                channels_last(case.input("image_even")),
                cotangent=channels_last(case.input("grad_output")),
            )
            answers[f"{flavour}_even_grad_image"] = np.moveaxis(by_image, -1, 1)
            answers |= gradient_outputs(case.outputs, by_weights, entries)
    return answers
