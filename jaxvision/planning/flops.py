"""Counting multiply-adds in a traced program: what a step computes, recomputation included.

XLA's own count is wrong for scanned bodies and for kernels; it is right for programs without
either, which is how this one is tested.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np


def count(jaxpr: Any) -> float:
    """Floating-point operations of the matrix products, convolutions and kernels of a jaxpr.

    A multiply-add is two. Elementwise work is left out: it costs bandwidth, not operations. Scans
    count by their length, kernels by the estimate they carry, a `while` of unknown length once.
    """
    total = 0.0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _dot(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "pallas_call":
            total += _kernel(params)
        elif name == "cond":
            total += max(count(branch) for branch in params["branches"])
        else:
            inner = sum(count(body) for body in bodies(params))
            if name == "scan":
                inner *= params["length"]
            elif name == "shard_map":
                inner *= math.prod(
                    params["mesh"].shape[axis] for axis in params["newly_manual_axes"]
                )
            total += inner
    return total


def _kernel(params: dict[str, Any]) -> float:
    """The estimate that a Pallas call carries; without one, its body as often as its grid asks."""
    estimate = params.get("cost_estimate")
    if estimate is not None:
        return float(estimate.flops)
    grid = [size for size in params["grid_mapping"].grid if isinstance(size, int)]
    return count(params["jaxpr"]) * math.prod(grid)


def bodies(params: dict[str, Any]) -> Iterator[Any]:
    """Every jaxpr among the parameters of an equation."""
    for value in params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(getattr(item, "jaxpr", item), "eqns"):
                yield item


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    out = equation.outvars[0].aval.shape
    return 2.0 * math.prod(out) * math.prod(left[d] for d in contracted)


def _convolution(equation: Any) -> float:
    left, right = (variable.aval.shape for variable in equation.invars)
    out, params = equation.outvars[0].aval.shape, equation.params
    numbers = params["dimension_numbers"]
    places = 1
    for number, (i, k, o) in enumerate(
        zip(numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True)
    ):
        places *= valid_places(
            left[i],
            right[k],
            out[o],
            stride=params["window_strides"][number],
            padding=params["padding"][number][0],
            input_dilation=params["lhs_dilation"][number],
            kernel_dilation=params["rhs_dilation"][number],
        )
    batch, features = (out[d] for d in numbers.out_spec[:2])
    return 2.0 * batch * features * right[numbers.rhs_spec[1]] * places


def valid_places(
    size: int,
    kernel: int,
    out: int,
    *,
    stride: int,
    padding: int,
    input_dilation: int,
    kernel_dilation: int,
) -> int:
    """(output, tap) pairs along one side of a convolution that meet an element of the input.

    padding: before the input.
    """
    place = np.arange(out)[:, None] * stride - padding + np.arange(kernel)[None] * kernel_dilation
    inside = (place >= 0) & (place <= (size - 1) * input_dilation) & (place % input_dilation == 0)
    return int(np.count_nonzero(inside))
