"""Which parameters decay, and which learn at the rate of the 3D branch."""

from collections.abc import Sequence

# Modules of our trees that are `core.branch_3d*` in the official names of fused networks.
POINT_BRANCH = {
    "point_features",
    "point_context",
    "points",
    "point_aligners",
    "point_costs",
    "cost_aligners",
    "point_estimator",
    "point_head",  # `core.branch_3d_conv_last`
}


def of_point_branch(path: str) -> bool:
    """Whether a parameter of a fused network is the 3D branch's; fusions are the 2D branch's."""
    parts = path.split("/")
    module = parts[parts.index("core") + 1] if "core" in parts else parts[0]
    name, _, number = module.rpartition("_")
    return module in POINT_BRANCH or (number.isdigit() and name in POINT_BRANCH)


def decays(path: str, official_shape: Sequence[int]) -> bool:
    """Kernels decay; biases and the scales of norms do not."""
    return len(official_shape) > 1 and not path.endswith("/bias")
