"""Golden runners of CamLiFlow's operations on points and feature maps."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from jaxvision.ops import correlation_lookup as lookup
from jaxvision.ops import point_interpolation as interpolation
from jaxvision.ops.convex_upsampling import convex_upsampling
from jaxvision.ops.furthest_point_sampling import furthest_point_sampling
from jaxvision.ops.grouping import group_points
from jaxvision.ops.image_sampling import grid_sample, resize_aligned, resize_flow, warp
from jaxvision.ops.k_nearest_neighbours import k_nearest_neighbours
from jaxvision.ops.local_correlation import local_correlation
from jaxvision.ops.point_convolution import depthwise_point_convolution, point_convolution
from jaxvision.ops.point_correlation import neighbour_means, point_correlation

KNN = "models/csrc/wrapper.py:k_nearest_neighbor (arithmetic of k_nearest_neighbor_kernel.cu)"
search = jax.jit(k_nearest_neighbours, static_argnums=2)


def last(array) -> np.ndarray:
    """[b, c, ...] to [b, ..., c]."""
    return np.moveaxis(np.asarray(array), 1, -1)


def first(array) -> np.ndarray:
    return np.moveaxis(np.asarray(array), -1, 1)


@runner("camliflow", KNN)
def nearest_neighbours(case: Case) -> dict:
    config, answers = case.config, {}
    x, y = np.meshgrid(np.arange(config["grid_w"]), np.arange(config["grid_h"]))
    clouds = {}
    if case.has_input("points3"):
        clouds["3"] = last(case.input("points3")), last(case.input("queries3"))
    if case.has_input("points2"):
        points = last(case.input("points2"))
        grid = np.stack([x.ravel(), y.ravel()], -1).astype(np.float32)
        clouds["2"] = points, np.broadcast_to(grid, (len(points), *grid.shape))
    for name, (points, queries) in clouds.items():
        for k in config[f"k{name}"]:
            indices, squared = search(points, queries, k)
            answers |= {f"idx{name}_k{k}": indices, f"sqdist{name}_k{k}": squared}
    own = config["self_k"]
    for name, (points, _) in clouds.items():
        answers[f"idx{name}_self_k{own}"] = search(points, points, own).indices
    return answers


@runner("camliflow", "models/csrc/wrapper.py:furthest_point_sampling")
def furthest_points(case: Case) -> dict:
    sample = jax.jit(furthest_point_sampling, static_argnums=1)
    return {"idx": sample(case.input("points"), case.config["n_samples"])}


@runner("camliflow", "models/csrc/wrapper.py:correlation2d")
def cost_volume(case: Case) -> dict:
    f1, f2, given = (last(case.input(name)) for name in ("f1", "f2", "g"))
    most = case.config["max_displacement"]

    @jax.jit
    def run(f1, f2):
        value, pull = jax.vjp(functools.partial(local_correlation, max_displacement=most), f1, f2)
        others = {
            name: local_correlation(f1, f2, int(name.removeprefix("corr_md")))
            for name in case.outputs
            if name.startswith("corr_md")
        }
        return others | dict(
            zip(("corr", "grad_f1", "grad_f2"), (value, *pull(given)), strict=True)
        )

    return {name: first(value) for name, value in run(f1, f2).items()}


@runner("camliflow", "models/utils.py", fixed={"k": 3})
def interpolation_and_warps(case: Case) -> dict:
    names = (n for n in case.input_names())
    given = {name: last(case.input(name)) for name in names}

    @jax.jit
    def run(xyz1, xyz2, feat, flow, image, uv, flow2d, mask8, mask4, flow_lo, image_odd):
        queries = jnp.concatenate([xyz2, xyz1[:, : xyz1.shape[1] - xyz2.shape[1]]], axis=1)
        height, width = image_odd.shape[1:3]
        pads = [-side % 8 for side in (height, width)]
        left = pads[1] // 2
        sides = (0, 0), (0, pads[0]), (left, pads[1] - left), (0, 0)
        sizes = [-(-side // 64) * 64 for side in (height, width)]
        x, y = jnp.meshgrid(jnp.arange(4.0), jnp.arange(3.0))
        return {
            "knn_interp_k3": interpolation.point_interpolation(xyz1, feat, queries),
            "backwarp3d": interpolation.warp_points(xyz1, xyz2, 0.3 * flow),
            "grid_sample_uv": grid_sample(image, uv[..., 0], uv[..., 1], "zeros"),
            "backwarp2d_border": warp(image, flow2d),
            "convex8": convex_upsampling(flow_lo, mask8, 8),
            "convex4": convex_upsampling(flow_lo, mask4, 4),
            "resize_flow": resize_flow(flow2d, (13, 25)),
            "mesh_grid": jnp.stack([x, y], axis=-1)[None],
            "padded": jnp.pad(image_odd, sides, mode="edge"),
            "resized64": resize_aligned(image_odd, tuple(sizes)),
        }, (left, pads[1] - left, 0, pads[0])

    answers, pads = run(**given)
    return {n: first(v) for n, v in answers.items()} | {"pad_l_r_t_b": np.array(pads)}


@runner("camliflow", "models/raft_core.py:Correlation2D", ignores={"model": "says where it is"})
def all_pairs_lookup(case: Case) -> dict:
    f1, f2, offset = (last(case.input(name)) for name in ("f1", "f2", "offset"))
    aligner = case.state_dict()
    weight, bias = (
        aligner[f"core.branch_2d.correlation.fnet_aligner.{n}"] for n in ("weight", "bias")
    )
    levels, radius = case.config["levels"], case.config["radius"]

    @functools.partial(jax.jit, static_argnums=3)
    def run(f1, f2, offset, form):
        aligned = [jnp.einsum("bhwc,dc->bhwd", f, weight[:, :, 0, 0]) + bias for f in (f1, f2)]
        pyramid = lookup.correlation_pyramid(*aligned, levels, form)
        height, width = offset.shape[1:3]
        grid = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), axis=-1)
        return pyramid, lookup.correlation_lookup(pyramid, grid + offset, radius)

    volumes, windows = run(f1, f2, offset, "volume")
    _, on_demand = run(f1, f2, offset, "on_demand")
    np.testing.assert_allclose(windows, on_demand, atol=1e-5)
    rows = {n: case.outputs[n]["shape"][0] for n in case.outputs if n.startswith("volume")}
    answers = {
        name: np.asarray(volumes.levels[int(name.removeprefix("volume"))])[0, :count, None]
        for name, count in rows.items()
    }
    return answers | {"lookup": first(on_demand)}


def unit(weights: dict, prefix: str, x, activation=None):
    """A convolution of size 1 as published, and what follows it."""
    weight = weights[f"{prefix}.weight"]
    weight = weight.reshape(weight.shape[:2])
    x = jnp.einsum("...c,dc->...d", x, weight, precision="highest") + weights[f"{prefix}.bias"]
    return activation(x) if activation else x


def mlp(weights: dict, prefix: str, x, activation):
    number = 0
    while f"{prefix}.convs.{number}.conv_fn.weight" in weights:
        x = unit(weights, f"{prefix}.convs.{number}.conv_fn", x, activation)
        number += 1
    return x


def leaky(x):
    return jax.nn.leaky_relu(x, 0.1)


def correlation_of_raft(case: Case) -> dict:
    xyz1, f1, f2, xyz2, noise = (
        last(case.input(name)) for name in ("xyz1", "f1", "f2", "xyz2", "noise")
    )
    weights, k, counts = case.state_dict(), case.config["k"], case.config["pyramid"]
    name = "core.branch_3d.correlation"

    @jax.jit
    def run(weights, f1, f2):
        levels = [f2]
        for fine, coarse in itertools.pairwise(counts):
            levels.append(neighbour_means(xyz2[:, :fine], levels[-1], xyz2[:, :coarse]))

        def cost(cloud):
            found = []
            for count, features in zip(counts, levels, strict=True):
                pairs = point_correlation(f1, features, xyz1, cloud[:, :count], k)
                found.append(jnp.sum(mlp(weights, f"{name}.cost_mlp", pairs, jax.nn.relu), axis=2))
            merged = jnp.concatenate(found, axis=-1)
            return found[0], unit(weights, f"{name}.merge.conv_fn", merged, leaky)

        answers = {
            f"volume{i}": jnp.einsum("bnc,bmc->bmn", f1, level) / f1.shape[-1]
            for i, level in enumerate(levels)
        }
        answers["level0_cost"], answers["cost"] = cost(xyz2)
        return answers | {"cost_warped": cost(xyz2 + 0.2 * noise)[1]}

    return {n: first(v) for n, v in run(weights, f1, f2).items()}


def correlation_of_pwc(case: Case) -> dict:
    xyz1, f1, f2, xyz2 = (last(case.input(name)) for name in ("xyz1", "f1", "f2", "xyz2"))
    config, weights = case.config, case.state_dict()
    part = "branch_3d_correlations" if config["model"] == "camlipwc" else "correlations"
    name, k = f"core.{part}.{config['level']}", config["k"]

    @jax.jit
    def run(weights, f1, f2):
        nearest, _ = k_nearest_neighbours(xyz2, xyz1, k)
        offset = group_points(xyz2, nearest) - xyz1[:, :, None]
        mine = jnp.broadcast_to(f1[:, :, None], (*nearest.shape, f1.shape[-1]))
        pairs = jnp.concatenate([mine, group_points(f2, nearest), offset], axis=-1)
        cost = mlp(weights, f"{name}.cost_mlp", pairs, leaky)
        cost = jnp.sum(cost * mlp(weights, f"{name}.weight_net2", offset, jax.nn.relu), axis=2)
        own, _ = k_nearest_neighbours(xyz1, xyz1, k)
        offset = group_points(xyz1, own) - xyz1[:, :, None]
        around = mlp(weights, f"{name}.weight_net1", offset, jax.nn.relu)
        cost = jnp.sum(around * group_points(cost, own), axis=2)
        return (
            unit(weights, f"{name}.feat_aligner.conv_fn", cost, leaky) if config["align"] else cost
        )

    return {"cost": first(run(weights, f1, f2))}


@runner("camliflow", "models/camliraft_l_core.py:Correlation3D", ignores={"model": "where it is"})
def point_lookup(case: Case) -> dict:
    return correlation_of_raft(case)


@runner("camliflow", "models/camlipwc_l_core.py:Correlation3D")
def point_cost(case: Case) -> dict:
    return correlation_of_pwc(case)


def normalised(weights: dict, prefix: str, x, norm: str):
    if norm == "batch_norm":
        x = (x - weights[f"{prefix}.running_mean"]) * jax.lax.rsqrt(
            weights[f"{prefix}.running_var"] + 1e-5
        )
    elif norm == "layer_norm":
        x = jax.nn.standardize(x, axis=-1, epsilon=1e-6)
    else:
        return x
    return x * weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]


@runner("camliflow", "models/point_conv.py:PointConv,PointConvDW,PointNet2")
def point_convolutions(case: Case) -> dict:
    xyz, feat, given = (last(case.input(name)) for name in ("xyz", "feat", "g"))
    config, few = case.config, case.input("g").shape[2]
    assert config["in_channels"] == feat.shape[-1]
    assert config["out_channels"] == given.shape[-1]
    words = {tag: text.split() for tag, text in config["modules"].items()}

    def module(tag: str, count: int):
        """(weights, feat) to the module's answer at the first points."""
        kind, *options = words[tag]
        k = next(int(w[1:]) for w in options if w[0] == "k" and w[1:].isdigit())
        norm = next((w for w in options if w.endswith("_norm")), "none")
        act = jax.nn.relu if "relu" in options else leaky
        centres = xyz[:, :count]

        def run(weights, feat):
            nearest = k_nearest_neighbours(xyz, centres, max(k, 32)).indices[..., :k]
            offset = group_points(xyz, nearest) - centres[:, :, None]
            if kind == "PointConv":
                shares = mlp(weights, f"{tag}.weight_net", offset, act)
                rows = jnp.concatenate([xyz, feat], axis=-1)
                wide = point_convolution(rows, shares, nearest)
                return act(
                    normalised(
                        weights, f"{tag}.norm_fn", unit(weights, f"{tag}.linear", wide), norm
                    )
                )
            if kind == "PointConvDW":
                rows = mlp(weights, f"{tag}.mlp", feat, None if "None" in options else act)
                shares = mlp(weights, f"{tag}.weight_net", offset, jax.nn.relu)
                return depthwise_point_convolution(rows, shares, nearest)
            rows = jnp.concatenate([offset, group_points(feat, nearest)], axis=-1)
            return jnp.max(mlp(weights, f"{tag}.mlp", rows, act), axis=2)

        return run

    weights, all_points = case.state_dict(), xyz.shape[1]
    calls = {
        "pointconv_down": ("pc", few),
        "dw_down": ("dw", few),
        "pointconv_same": ("pc", all_points),
        "pointconv_bn": ("pc_bn", few),
        "pointconv_ln_relu_k8": ("pc_relu", few),
        "dw_noact_k4": ("dw_noact", all_points),
        "pointnet2_k8": ("pn", few),
    }
    answers = {}
    trained = {n: w for n, w in weights.items() if w.dtype == np.float32}
    for name, (tag, count) in calls.items():
        if tag in words and name in case.outputs:
            answers[name] = first(jax.jit(module(tag, count))(trained, feat))
    for tag, of_feat in {"pc": "grad_feat", "dw": "dw_grad_feat"}.items():
        if tag in words and of_feat in case.outputs:
            _, pull = jax.vjp(module(tag, few), trained, feat)
            of_weights, by_feat = jax.jit(pull)(given)
            answers[of_feat] = first(by_feat)
            answers |= {f"grad/{n}": g for n, g in of_weights.items() if n.startswith(f"{tag}.")}
    return answers
