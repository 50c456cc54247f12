"""Sparse convolution: the public function, and which implementation runs.

Implementations: "reference" (any device), "pairs" (CPUs), and the kernels "mosaic_tpu", "triton"
and "mosaic_gpu" (Hopper in half precision; never a default), which never hold the gathered
neighbours in the chip's main memory.
"""

from collections.abc import Callable

from jaxtyping import Array, Float

from jaxvision.errors import InputError
from jaxvision.ops.dispatch import KERNELS, choose
from jaxvision.ops.sparse_voxels import mosaic_gpu, mosaic_tpu, pairs, reference, triton
from jaxvision.ops.sparse_voxels.kernel_map import KernelMap

CONVOLUTIONS: dict[str, Callable[[Array, Array, KernelMap], Array]] = {
    "reference": reference.convolve,
    "pairs": pairs.convolve,
    "mosaic_tpu": mosaic_tpu.convolve,
    "triton": triton.convolve,
    "mosaic_gpu": mosaic_gpu.convolve,
}


def sparse_convolution(
    features: Float[Array, "s i c"],
    weights: Float[Array, "k c d"],
    neighbours: KernelMap,
    implementation: str | None = None,
) -> Float[Array, "s o d"]:
    """out[o] = sum_k features[neighbours.inputs[k, o]] @ weights[k]; padding rows give zeros.

    The result has the features' dtype; products are summed in float32.
    implementation: None takes the fastest for the device.
    InputError for shapes that do not fit or an implementation that cannot run here.
    """
    shards, rows, channels = features.shape
    taps = neighbours.inputs.shape[1]
    if weights.shape[:2] != (taps, channels):
        raise InputError(
            f"sparse_convolution: weights {weights.shape} for features {features.shape} and "
            f"{taps} neighbours: expected {(taps, channels, 'out')}"
        )
    if neighbours.inputs.shape[0] != shards or neighbours.outputs.shape[::2] != (shards, rows):
        raise InputError(
            f"sparse_convolution: features {features.shape} and a map of "
            f"{neighbours.outputs.shape[::2]} shards and rows"
        )
    name = choose("sparse_convolution", implementation, CONVOLUTIONS, _preferred)
    return CONVOLUTIONS[name](features, weights, neighbours)


def _preferred(platform: str) -> str:
    return KERNELS.get(platform, "pairs")
