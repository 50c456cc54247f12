"""The linear kernels of the aggregation as sums of products (LinK, equations 4 to 6).

out_i = sum_parts outgoing_i * mean_j(incoming_j * G_j): a factor at the giving voxel, one at the
taking voxel. Written once for all kernels, forward and backward.
"""

from typing import Literal

from jaxtyping import Array

Form = Literal["mean", "cos", "sin", "cos_sin", "x", "cos_x"]
FORMS: tuple[Form, ...] = ("mean", "cos", "sin", "cos_sin", "x", "cos_x")
Factor = Array | float


def has_waves(form: Form) -> bool:
    """Whether the first two parts are those of cosine and sine."""
    return form not in ("mean", "x")


def subtracts_own(form: Form) -> bool:
    """Whether a voxel's own G p is taken from its mean."""
    return form in ("x", "cos_x")


def part_count(form: Form) -> int:
    """Products that are summed."""
    return 2 * has_waves(form) + (form in ("mean", "x", "cos_x"))


def incoming(form: Form, cos: Factor, sin: Factor, position: Factor) -> list[Factor]:
    """Factors at the giving voxel. cos, sin: of the local phase; position: the absolute phase."""
    first = [cos, sin] if has_waves(form) else []
    if form == "mean":
        return [1.0]
    return [*first, position] if subtracts_own(form) else first


def outgoing(form: Form, cos: Factor, sin: Factor) -> list[Factor]:
    """Factors at the taking voxel."""
    if form in ("mean", "x"):
        return [1.0]
    if form == "sin":
        return [-sin, cos]
    if form == "cos_sin":
        return [cos - sin, sin + cos]
    return [cos, sin, 1.0] if form == "cos_x" else [cos, sin]
