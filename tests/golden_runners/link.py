"""Golden runners of LinK's operators: maps, sparse convolutions, aggregation, LinK blocks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from golden_case import Case, runner
from golden_runners.gradients import gradient_outputs
from jaxvision.methods.link import weights
from jaxvision.methods.link.large_kernel_block import LargeKernelBlock
from jaxvision.ops import sparse_voxels as sv
from jaxvision.ops import voxel_aggregation as va
from jaxvision.weights import to_variables

OPS = "segmentation/torchsparse-u/torchsparse/nn"
unique = jax.jit(sv.unique_sites, static_argnums=(2, 3))
convolve = jax.jit(sv.sparse_convolution)
# Rows beyond the voxels, so that padding is always there to go wrong.
SPARE = 5


class Rows:
    """Voxels of a case in the case's order (x, y, z, batch) and in ours, one shard."""

    def __init__(self, coords: np.ndarray, stride: int = 1, spare: int = SPARE):
        coords = coords.astype(np.int32)
        ours = np.concatenate([coords[:, 3:], coords[:, :3] // stride], axis=1)
        capacity = len(coords) + spare
        self.sites, row_of, _ = unique(
            ours[None], np.ones((1, len(ours)), bool), capacity, (stride,) * 3
        )
        self.of_case = np.asarray(row_of)[0]  # our row of each row of the case
        self.case_of = np.full(capacity + 1, -1)
        self.case_of[self.of_case] = np.arange(len(coords))

    def ours(self, values: np.ndarray) -> np.ndarray:
        out = np.zeros((1, self.sites.capacity, *values.shape[1:]), values.dtype)
        out[0, self.of_case] = values
        return out

    def case(self, values) -> np.ndarray:
        return np.asarray(values)[0][self.of_case]


def official_coords(sites: sv.Sites) -> np.ndarray:
    """Coordinates (x, y, z, batch) in multiples of the stride, padding removed."""
    coords = np.asarray(sites.coords)[0, : int(sites.count[0])]
    return np.concatenate([coords[:, 1:] * sites.stride, coords[:, :1]], axis=1)


@runner(
    "link",
    f"{OPS}/functional/conv.py:conv3d (kmap), downsample.py:spdownsample, "
    "utils/kernel.py:get_kernel_offsets",
    ignores={"cases": "says in words what the outputs are"},
)
def kernel_maps(case: Case) -> dict:
    rows = Rows(case.input("coords"))
    coarse, _ = jax.jit(sv.coarse_sites, static_argnums=(1, 2))(rows.sites, 2, 400)
    coarser, _ = jax.jit(sv.coarse_sites, static_argnums=(1, 2))(coarse, 2, 200)
    own = np.arange(coarse.capacity + 1)
    submanifold = jax.jit(sv.submanifold_map, static_argnums=1)
    strided = jax.jit(sv.build_kernel_map, static_argnums=(2, 3, 4))
    two = ((2, 2, 2), (2, 2, 2), (0, 0, 0))
    answers = {}
    for name, table, size, stride, reads, writes in [
        ("sub3", submanifold(rows.sites, 3), 3, 1, rows.case_of, rows.case_of),
        ("down", strided(rows.sites, coarse, *two), 2, 1, rows.case_of, own),
        ("sub3s2", submanifold(coarse, 3), 3, 2, own, own),
        ("downs2", strided(coarse, coarser, *two), 2, 2, own, own),
    ]:
        triple = (size, size, size)
        order = np.argsort(sv.weight_order(triple, "torchsparse"))
        offsets = sv.kernel_indices(triple) - sv.submanifold_padding(triple)
        pairs, sizes = [], []
        inputs = np.asarray(table.inputs)[0]
        missing = table.outputs.shape[2]
        for k in order:
            outputs = np.flatnonzero(inputs[k] < missing)
            found = np.stack([reads[inputs[k, outputs]], writes[outputs]], axis=1)
            pairs.append(found[np.argsort(found[:, 1], kind="stable")])
            sizes.append(len(outputs))
        answers[f"{name}/offsets"] = offsets[order] * stride
        answers[f"{name}/pairs"] = np.concatenate(pairs)
        answers[f"{name}/sizes"] = np.array(sizes)
    return answers | {
        "down/coords": official_coords(coarse),
        "downs2/coords": official_coords(coarser),
    }


@runner(
    "link",
    f"{OPS}/modules/conv.py:Conv3d",
    ignores={
        "chain": "says in words what the layers are",
        "in_channels": "the first layer has it",
        "channels": "the first layer has it",
    },
)
def torchsparse_chain(case: Case) -> dict:
    rows = Rows(case.input("coords"))
    layers = case.config["layers"]

    def layout(name: str):
        volume = case.weight_shapes[name][0]
        return weights.TORCHSPARSE_KERNELS[volume]

    parameters = {
        name: layout(name).ours(w) if w.ndim == 3 else w for name, w in case.state_dict().items()
    }

    def forward(features, parameters):
        sites, x, stack, outputs = rows.sites, features, [], {}
        for layer in layers:
            name, size, stride = layer["name"], layer["kernel"], layer["stride"]
            kernel = parameters[f"{name}.kernel"]
            assert kernel.shape[-2:] == (layer["in"], layer["out"])
            assert (stride == 1) == (layer["op"] in ("submanifold", "pointwise")), layer
            if layer["op"] == "submanifold":
                x = sv.sparse_convolution(x, kernel, sv.submanifold_map(sites, size))
            elif layer["op"] == "strided":
                coarse, _ = sv.coarse_sites(sites, stride, sites.capacity)
                down = sv.build_kernel_map(sites, coarse, (size,) * 3, (stride,) * 3, (0, 0, 0))
                stack.append((sites, down))
                sites, x = coarse, sv.sparse_convolution(x, kernel, down)
                outputs[f"{name}_coords"] = coarse
            elif layer["op"] == "transposed":
                sites, down = stack.pop()
                x = sv.sparse_convolution(x, kernel, down.transpose())
            else:
                x = x @ kernel
            if layer["bias"]:
                x = x + parameters[f"{name}.bias"]
            outputs[name] = x
        return x, outputs

    cotangent = rows.ours(case.input("cotangent"))

    @jax.jit
    def run(features, parameters):
        def loss(features, parameters):
            last, outputs = forward(features, parameters)
            return jnp.sum(last * cotangent), outputs

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(features, parameters)

    (_, outputs), (of_features, gradients) = run(rows.ours(case.input("feats")), parameters)
    answers = {"grad/feats": rows.case(of_features)}
    count = len(rows.of_case)
    for name, value in outputs.items():
        if isinstance(value, sv.Sites):
            answers[name] = official_coords(value)
        elif case.outputs[name]["shape"][0] == count:
            answers[name] = rows.case(value)
        else:
            answers[name] = np.asarray(value)[0, : case.outputs[name]["shape"][0]]
    for name, value in gradients.items():
        value = np.asarray(value)
        answers[f"grad/{name}"] = layout(name).official(value) if value.ndim == 3 else value
    return answers


@runner(
    "link",
    "detection/det3d/models/backbones/scn.py):SubMConv3d, SparseConv3d",
    ignores={"chain": "says in words what the layers are"},
)
def spconv_chain(case: Case) -> dict:
    indices = case.input("indices").astype(np.int32)  # batch, z, y, x
    rows = Rows(np.concatenate([indices[:, :0:-1], indices[:, :1]], axis=1))
    layers = case.config["layers"]

    def triple(values) -> tuple:
        return tuple(reversed(values))  # published as z, y, x

    parameters = {}
    for name, value in case.state_dict().items():
        if value.ndim == 5:
            out, kz, ky, kx, inputs = value.shape
            order = sv.weight_order((kx, ky, kz), "spconv")
            value = value.reshape(out, -1, inputs).transpose(1, 2, 0)[order]
        parameters[name] = value

    def forward(features, parameters):
        sites, x, shape = rows.sites, features, triple(case.config["spatial_shape"])
        outputs = {}
        for layer in layers:
            name, size = layer["name"], triple(layer["kernel"])
            stride, pad = triple(layer["stride"]), triple(layer["pad"])
            kernel = parameters[f"{name}.weight"]
            assert kernel.shape[-2:] == (layer["in"], layer["out"])
            if layer["op"] == "submanifold":
                assert (stride, pad) == ((1, 1, 1), tuple(side // 2 for side in size))
                table = sv.submanifold_map(sites, size)
            else:
                capacity = 2 * sites.capacity
                fine = sites
                sites, shape = sv.strided_sites(fine, size, stride, pad, shape, capacity)
                table = sv.build_kernel_map(fine, sites, size, stride, pad)
            x = sv.sparse_convolution(x, kernel, table)
            if layer["bias"]:
                x = jnp.where(sites.valid[..., None], x + parameters[f"{name}.bias"], 0)
            outputs[name] = (sites, x, jnp.asarray(shape))
        dense = sv.dense_grid(x, sites, case.config["batch_size"], shape)
        return jnp.moveaxis(dense[0], -1, 1), outputs

    @jax.jit
    def run(features, parameters):
        def loss(features, parameters):
            dense, outputs = forward(features, parameters)
            return jnp.sum(dense * case.input("cotangent")), (dense, outputs)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(features, parameters)

    features = rows.ours(case.input("feats"))
    (_, (dense, outputs)), (of_features, gradients) = run(features, parameters)
    answers = {f"{layers[-1]['name']}/dense": dense, "grad/feats": rows.case(of_features)}
    for name, (sites, x, shape) in outputs.items():
        count = int(sites.count[0])
        site = np.asarray(sites.coords)[0, :count]
        # Published order is (batch, z, y, x), ours (batch, x, y, z).
        listed = site[:, [0, 3, 2, 1]]
        order = np.lexsort(listed.T[::-1])
        answers[f"{name}/indices"] = listed[order]
        answers[f"{name}/features"] = np.asarray(x)[0, :count][order]
        answers[f"{name}/spatial_shape"] = np.asarray(shape)[::-1]
    for name, value in gradients.items():
        value = np.asarray(value)
        if value.ndim == 3:
            out, kz, ky, kx, inputs = case.weight_shapes[name]
            order = np.argsort(sv.weight_order((kx, ky, kz), "spconv"))
            value = value[order].transpose(2, 0, 1).reshape(out, kz, ky, kx, inputs)
        answers[f"grad/{name}"] = value
    return answers


@functools.cache
def aggregation(edge: int, neighbours: int):
    @jax.jit
    def run(features, cotangent, sites):
        blocks = va.build_block_map(sites, edge, neighbours)
        out, pull = jax.vjp(lambda f: va.aggregate(f, None, sites, blocks, "mean"), features)
        mean = sv.pool(features, blocks.block_of, blocks.blocks.capacity)
        return blocks, mean, out, pull(cotangent)[0]

    return run


@runner("link", "segmentation/core/models/utils.py:voxel_to_aux, aux_to_voxel")
def block_mean(case: Case) -> dict:
    rows = Rows(case.input("coords"))
    run = aggregation(case.config["block_size"], case.config["neighbours_per_axis"])
    feats, cotangent = (rows.ours(case.input(name)) for name in ("feats", "cotangent"))
    assert feats.shape[-1] == case.config["channels"]
    blocks, mean, out, gradient = run(feats, cotangent, rows.sites)
    count = int(blocks.blocks.count[0])
    coords = np.asarray(blocks.blocks.coords)[0, :count]
    listed = np.concatenate([coords[:, 1:], coords[:, :1]], axis=1)
    order = np.lexsort(listed.T[::-1])  # published order: x, y, z, batch
    return {
        "block_coords": listed[order],
        "block_of_voxel": np.argsort(order)[rows.case(blocks.block_of)],
        "block_counts": np.asarray(blocks.counts)[0, order],
        "block_mean": np.asarray(mean)[0, order],
        "out": rows.case(out),
        "grad/feats": rows.case(gradient),
    }


@runner(
    "link",
    "segmentation/core/models/semantic_kitti/linkunet.py:ELKBlock",
    "segmentation/core/models/semantic_kitti/linkencoder.py:ELKBlock",
    "detection/det3d/models/utils/ts_elk.py:TSELKBlock.forward_",
)
def link_block(case: Case) -> dict:
    config = case.config
    channels, form = config["channels"], config["base_op"]
    stride = config.get("tensor_stride", 1)
    assert config["block_size"] == stride * config.get("s", config["block_size"])
    detection = "groups" not in config
    # The detector's blocks store a full projection; these two forms read its first half.
    groups = (2 if form in ("cos", "x") else 1) if detection else config["groups"]
    module = LargeKernelBlock(
        form,
        groups,
        channels if detection else None,
        learned_scale="alpha" in case.weight_shapes,
        position_unit="level" if config.get("position_divided_by_stride") else "finest",
    )
    entries = weights.block_entries(
        "",
        "",
        channels,
        channels if detection else channels // groups,
        module.learned_scale,
    )
    rows = Rows(case.input("coords"), stride)

    @jax.jit
    def run(variables, features, cotangent):
        sites = rows.sites
        blocks = va.build_block_map(sites, config["block_size"] // stride, config["r"])
        maps = sites, sv.submanifold_map(sites, 3), blocks
        out, pull = jax.vjp(lambda v, f: module.apply(v, f, *maps), variables, features)
        return (out, *pull(cotangent))

    variables, _ = to_variables(case.state_dict(), entries)
    feats, cotangent = (rows.ours(case.input(name)) for name in ("feats", "cotangent"))
    out, gradients, of_features = run(variables, feats, cotangent)
    inputs = {"feats": rows.case(of_features)}
    return {"out": rows.case(out)} | gradient_outputs(case.outputs, gradients, entries, inputs)
