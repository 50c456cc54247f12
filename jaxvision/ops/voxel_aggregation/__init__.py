"""LinK's aggregation over neighbouring blocks of voxels: large kernels at a constant cost."""

from jaxvision.ops.voxel_aggregation.blocks import BlockMap, build_block_map
from jaxvision.ops.voxel_aggregation.reference import FORMS, Form, aggregate

__all__ = ["FORMS", "BlockMap", "Form", "aggregate", "build_block_map"]
