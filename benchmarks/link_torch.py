"""LinK's layers in plain PyTorch operations: what the networks of link.py are timed against.

A sparse convolution is a gather, a matrix product and an index_add for every kernel index, over the
pairs that exist; the aggregation is scatter sums. Maps are those that JAX built, copied over, with
the padding left out, and so are the weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import voxel_aggregation_torch
from flax import linen as nn
from timing import alternately
from torch.nn import functional as F

from jaxvision.methods.link.detection.pyramid import DetectionLevel
from jaxvision.methods.link.segmentation.pyramid import Level
from jaxvision.ops.sparse_voxels import KernelMap, Sites
from jaxvision.ops.voxel_aggregation import Form

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLOSE = 1e-3  # of the largest output
Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]


def tensor(values: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(np.asarray(values), device=DEVICE).to(dtype)


class Weights:
    """A module's parameters and running statistics, and its submodules' by name."""

    def __init__(self, params: Mapping, stats: Mapping, train: bool = False):
        self.params, self.stats, self.train = params, stats, train

    @classmethod
    def of(cls, variables: Mapping, train: bool = False) -> "Weights":
        """Copies; in training, the parameters ask for gradients and statistics are a batch's."""
        known = nn.unbox(dict(variables))
        params = jax.tree.map(lambda x: tensor(x).requires_grad_(train), known["params"])
        return cls(params, jax.tree.map(tensor, known.get("batch_stats", {})), train)

    def __getitem__(self, name: str) -> "Weights":
        return Weights(self.params[name], self.stats.get(name, {}), self.train)


@dataclass(frozen=True)
class TorchLevel:
    """voxels: that exist, of all shards.  coords: shard, x, y, z of each.  neighbours, down: pairs
    of an input and an output row per kernel index.  blocks: arguments of the aggregation."""

    voxels: int
    coords: torch.Tensor
    neighbours: Pairs
    down: Pairs
    containing: torch.Tensor | None
    blocks: tuple[torch.Tensor, ...]


def levels_of(levels: Sequence[Level | DetectionLevel]) -> list[TorchLevel]:
    """The same levels without padding. ValueError where something found no room."""
    found, finer = [], None
    for level in levels:
        numbers, coords = _numbers(level.sites), np.asarray(level.sites.coords)
        shard, row = np.nonzero(numbers[:, :-1] >= 0)
        containing = getattr(level, "containing", None)
        if containing is not None:
            read = np.take_along_axis(numbers, np.asarray(containing), axis=1)
            containing = tensor(read[read >= 0], torch.long)
        found.append(
            TorchLevel(
                len(row),
                tensor(np.column_stack([shard, coords[shard, row, 1:]]), torch.long),
                _pairs(level.neighbours, numbers, numbers),
                _pairs(level.down, finer, numbers),
                containing,
                _blocks(level, numbers) if level.blocks is not None else (),
            )
        )
        finer = numbers
    return found


def _numbers(sites: Sites) -> np.ndarray:
    """[shards, capacity + 1]: row of every voxel among all that exist, -1 where there is none."""
    if int(sites.overflow.sum()):
        raise ValueError(f"{int(sites.overflow.sum())} voxels found no room: raise level_share")
    valid = np.asarray(sites.valid)
    number = np.where(valid, np.cumsum(valid).reshape(valid.shape) - 1, -1)
    return np.pad(number, ((0, 0), (0, 1)), constant_values=-1)


def _pairs(known: KernelMap | None, inputs: np.ndarray | None, outputs: np.ndarray) -> Pairs:
    if known is None or inputs is None:
        return ()
    found = []
    for rows in np.moveaxis(np.asarray(known.inputs), 1, 0):
        read, write = np.take_along_axis(inputs, rows, axis=1), outputs[:, :-1]
        both = (read >= 0) & (write >= 0)
        found.append((tensor(read[both], torch.long), tensor(write[both], torch.long)))
    return found


def _blocks(level: Level | DetectionLevel, numbers: np.ndarray) -> tuple[torch.Tensor, ...]:
    """local, block_of, rows, offsets, counts of `voxel_aggregation_torch.cosine`."""
    blocks = level.blocks
    block_numbers = _numbers(blocks.blocks)
    exist, voxel = block_numbers[:, :-1] >= 0, numbers[:, :-1] >= 0
    block_of = np.take_along_axis(block_numbers, np.asarray(blocks.block_of), axis=1)
    rows = np.asarray(blocks.neighbours.inputs)
    taps = [
        np.take_along_axis(block_numbers, tap, axis=1)[exist] for tap in np.moveaxis(rows, 1, 0)
    ]
    taps = np.stack(taps)
    return (
        tensor(np.asarray(blocks.local)[voxel]),
        tensor(block_of[voxel], torch.long),
        tensor(np.where(taps < 0, exist.sum(), taps), torch.long),
        tensor(blocks.offsets),
        tensor(np.asarray(blocks.reach_counts)[exist]),
    )


def convolution(w: Weights, x: torch.Tensor, pairs: Pairs, outputs: int) -> torch.Tensor:
    """One gather, product and scatter per kernel index."""
    kernel = w.params["kernel"]
    if len(kernel) == 1:
        out = x @ kernel[0]
    else:
        out = x.new_zeros(outputs, kernel.shape[2])
        for weight, (read, write) in zip(kernel.unbind(0), pairs, strict=True):
            out.index_add_(0, write, x.index_select(0, read) @ weight)
    return out + w.params["bias"] if "bias" in w.params else out


def batch_norm(w: Weights, x: torch.Tensor, epsilon: float) -> torch.Tensor:
    """x: channels second."""
    running = (None, None) if w.train else (w.stats["mean"], w.stats["var"])
    scale, bias = w.params["scale"], w.params["bias"]
    return F.batch_norm(x, *running, scale, bias, training=w.train, eps=epsilon)


def convolution_norm(
    w: Weights,
    x: torch.Tensor,
    pairs: Pairs,
    outputs: int,
    relu: bool = True,
    epsilon: float = 1e-5,
) -> torch.Tensor:
    x = convolution(w["SparseConvolution_0"], x, pairs, outputs)
    x = batch_norm(w["BatchNorm_0"], x, epsilon)
    return F.relu(x) if relu else x


def residual(w: Weights, x: torch.Tensor, level: TorchLevel, epsilon: float = 1e-5):
    """Two convolutions plus the input, through a linear map where the widths differ."""
    maps = level.neighbours, level.voxels
    y = convolution_norm(w["first"], x, *maps, epsilon=epsilon)
    y = convolution_norm(w["second"], y, *maps, relu=False, epsilon=epsilon)
    if "shortcut" in w.params:
        x = convolution_norm(w["shortcut"], x, (), level.voxels, relu=False, epsilon=epsilon)
    return F.relu(x + y)


def layer_norm(w: Weights, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], w.params["scale"], w.params["bias"], 1e-6)


def large_kernel(
    w: Weights, x: torch.Tensor, level: TorchLevel, form: Form, groups: int, unit: int
) -> torch.Tensor:
    """`LargeKernelBlock`. unit: what a step of the coordinates is for the position projection."""
    mixed = layer_norm(w["pre_norm"], x @ w.params["pre_mix"]["kernel"])
    local = convolution(w["local_mix"], x, level.neighbours, level.voxels)
    used = x.shape[1] // groups
    projection = w.params["position"][:, :used].T
    if "alpha" in w.params:
        projection = projection * w.params["alpha"][:, None]
    projection = unit * projection.repeat(groups, 1)
    wide = voxel_aggregation_torch.cosine(mixed, projection, *level.blocks)
    if form == "cos_x":
        wide = wide + _distances(mixed, projection, level)
    elif form != "cos":
        raise ValueError(f"form {form} has no counterpart here")
    return F.relu(layer_norm(w["norm"], wide) + layer_norm(w["norm_local"], local))


def _distances(x: torch.Tensor, projection: torch.Tensor, level: TorchLevel) -> torch.Tensor:
    """The form x: the mean of the neighbours' features times phases, less the own product."""
    _, block_of, rows, _, counts = level.blocks
    own = x * (level.coords[:, 1:].to(x.dtype) @ projection.T)
    sums = x.new_zeros(len(counts) + 1, x.shape[1]).index_add(0, block_of, own)
    total = sum(sums.index_select(0, tap) for tap in rows)
    return (total / counts[:, None]).index_select(0, block_of) - own


def split_network(
    w: Weights,
    number: int,
    x: torch.Tensor,
    level: TorchLevel,
    wide: Callable[[Weights, torch.Tensor], torch.Tensor],
    epsilon: float = 1e-5,
) -> torch.Tensor:
    """Two residual blocks, and beside both a large kernel where the network has one."""
    maps = level.neighbours, level.voxels
    deep = x
    for block in (0, 1):
        deep = residual(w[f"stage{number}_{block}"], deep, level, epsilon)
    if f"wide{number}" not in w.params:
        return deep
    deep = convolution_norm(w[f"stage{number}_tail"], deep, *maps, relu=False, epsilon=epsilon)
    beside = wide(w[f"wide{number}"], x)
    beside = convolution_norm(w[f"wide{number}_tail"], beside, *maps, relu=False, epsilon=epsilon)
    return F.relu(deep + beside)


def beside(ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Least milliseconds of both, called in turn."""

    def finished():
        found = theirs()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return found

    return tuple(1000 * min(taken) for taken in alternately((ours, finished), repeats))


def difference(ours: Sequence[Any], theirs: Sequence[torch.Tensor]) -> float:
    """Largest difference as a share of the largest value."""
    pairs = [(np.asarray(a), b.detach().cpu().numpy()) for a, b in zip(ours, theirs, strict=True)]
    largest = max(np.abs(a).max() for a, _ in pairs)
    return float(max(np.abs(a - b).max() for a, b in pairs) / largest)


def compare(
    outputs: Callable[..., Sequence[jax.Array]],
    theirs: Callable[[Weights], Sequence[torch.Tensor]],
    variables: Mapping,
    given: tuple,
    repeats: int,
) -> str:
    """Time beside PyTorch's, of inference and of the gradient of the outputs' sum in training.

    outputs(variables, *given, train): of our network.
    SystemExit where the outputs are not the same.
    """

    def gradients(variables, *given):
        def total(params):
            found = outputs({**variables, "params": params}, *given, True)
            return sum(jnp.sum(value) for value in found)

        return jax.grad(total)(variables["params"])

    ours = partial(jax.jit(partial(outputs, train=False)), variables, *given)
    our_gradients = partial(jax.jit(gradients), variables, *given)
    known, trained = Weights.of(variables), Weights.of(variables, train=True)
    leaves = jax.tree.leaves(trained.params)

    def infer():
        with torch.no_grad():
            return theirs(known)

    def both():
        total = sum(out.sum() for out in theirs(trained))
        # The published detector stores rows of its projections that nothing reads.
        return torch.autograd.grad(total, leaves, allow_unused=True)

    apart = difference(ours(), infer())
    if not apart <= CLOSE:
        raise SystemExit(f"PyTorch's outputs differ by {apart:.1e} of the largest: not comparable")
    forward = beside(ours, infer, repeats)
    backward = beside(our_gradients, both, repeats)
    return (
        f"network beside PyTorch operations ({torch.get_num_threads()} threads): inference "
        f"{forward[0]:.1f} / {forward[1]:.1f} ms = {forward[0] / forward[1]:.2f}, forward and "
        f"backward {backward[0]:.1f} / {backward[1]:.1f} ms = {backward[0] / backward[1]:.2f}; "
        f"outputs differ by {apart:.0e} of the largest"
    )
