"""Shapes that published configurations convolve with; the kernels are compiled for them."""

from typing import NamedTuple


class ConvolutionSpec(NamedTuple):
    """size: voxels per axis of the kernel."""

    inputs: int
    outputs: int
    size: int = 3

    @property
    def weights(self) -> tuple[int, int, int]:
        return self.size**3, self.inputs, self.outputs


SPECS = {
    "linkunet": ConvolutionSpec(64, 64),
    "linkunet_down": ConvolutionSpec(64, 64, 2),
    "centerpoint_first": ConvolutionSpec(16, 16),
    "centerpoint_last_stage": ConvolutionSpec(64, 128),
}
