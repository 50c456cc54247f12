"""The aggregation in PyTorch scatter operations: index_add into blocks, gathers over neighbours."""

import time

import numpy as np
import torch


def cosine(features, projection, local, block_of, rows, offsets, counts):
    """Sums of G cos and G sin a block, neighbours turned by their offset, means back to voxels."""
    phase = local @ projection.T
    cos, sin = torch.cos(phase), torch.sin(phase)
    blocks = counts.shape[0]
    terms = torch.cat([features * cos, features * sin], dim=1)
    # One row more, of zeros, for neighbours that do not exist.
    sums = torch.zeros(blocks + 1, terms.shape[1], device=features.device)
    sums = sums.index_add(0, block_of, terms)
    of_cos, of_sin = sums.chunk(2, dim=1)
    total_cos, total_sin = torch.zeros_like(of_cos[:-1]), torch.zeros_like(of_sin[:-1])
    for tap in range(rows.shape[0]):
        angle = offsets[tap] @ projection.T
        c, s = torch.cos(angle), torch.sin(angle)
        read_cos, read_sin = of_cos[rows[tap]], of_sin[rows[tap]]
        total_cos = total_cos + read_cos * c - read_sin * s
        total_sin = total_sin + read_sin * c + read_cos * s
    share = 1 / counts[:, None]
    return (total_cos * share)[block_of] * cos + (total_sin * share)[block_of] * sin


def milliseconds(features, projection, sites, blocks, settings) -> tuple[float, float]:
    """Median times of forward and of forward and backward, on a GPU where PyTorch has one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def tensor(array, dtype=torch.float32):
        return torch.tensor(np.asarray(array), device=device).to(dtype)

    exist = int(blocks.blocks.count[0])
    inputs = (
        tensor(np.asarray(features[0], np.float32)).requires_grad_(),
        tensor(projection).requires_grad_(),
    )
    known = (
        tensor(blocks.local[0]),
        tensor(blocks.block_of[0], torch.long),
        tensor(np.minimum(blocks.neighbours.inputs[0, :, :exist], exist), torch.long),
        tensor(blocks.offsets),
        tensor(blocks.reach_counts[0, :exist]),
    )

    def forward():
        with torch.no_grad():
            cosine(*inputs, *known)

    def both():
        out = cosine(*inputs, *known)
        torch.autograd.grad(out, inputs, out.detach())

    return _median(forward, device, settings.repeats), _median(both, device, settings.repeats)


def _median(call, device: str, repeats: int) -> float:
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(1000 * (time.perf_counter() - start))
    return float(np.median(taken[1:]))
