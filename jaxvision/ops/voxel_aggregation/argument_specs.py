"""Shapes that published configurations aggregate with; the kernels are compiled for them."""

from typing import NamedTuple

from jaxvision.ops.voxel_aggregation.forms import Form


class AggregationSpec(NamedTuple):
    """edge, neighbours_per_axis: of `build_block_map`, in voxels and blocks."""

    channels: int
    edge: int
    neighbours_per_axis: int
    form: Form


SPECS = {
    "linkunet_cos_x_2x3": AggregationSpec(64, 3, 2, "cos_x"),
    "linkunet_cos_3x7": AggregationSpec(64, 7, 3, "cos"),
    "linkencoder_cos_3x5": AggregationSpec(64, 5, 3, "cos"),
    "centerpoint_elkv3": AggregationSpec(16, 7, 3, "cos"),
}
