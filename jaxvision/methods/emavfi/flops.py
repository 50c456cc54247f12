"""Counted floating-point operations of one interpolation (a multiply-add is two)."""

from jaxvision.methods.emavfi.attention import WindowGrid
from jaxvision.methods.emavfi.extractor import BRANCHES
from jaxvision.methods.emavfi.variants import NetworkConfig


def forward_flops(config: NetworkConfig, height: int, width: int) -> float:
    """Convolutions, linear maps and attention for one pair of `height` x `width` and one time."""
    pixels = height * width
    frames = _convolution_stages(config, pixels) + _attention_stages(config, height, width)
    return 2.0 * (2 * frames + _heads(config, pixels) + _unet(config, pixels))


def _convolution_stages(config: NetworkConfig, pixels: float) -> float:
    """Multiply-adds per frame of stages 1 to 3 and both embeddings."""
    widths, total = config.widths, 0.0
    for stage in range(3):
        here = pixels / 4**stage
        inputs = widths[stage - 1] if stage else 3
        extra = 9 * inputs * widths[stage] if stage else 0
        first = 9 * (widths[stage] if stage else 3) * widths[stage]
        rest = 9 * widths[stage] ** 2 * (config.depths[stage] - 1)
        total += here * (extra + first + rest)
    branches = sum(9 * widths[stage - 1] * widths[0] for stage, _, _ in BRANCHES)
    total += pixels / 64 * (branches + len(BRANCHES) * widths[0] * widths[3])
    return total + pixels / 256 * 9 * widths[3] * widths[4]


def _attention_stages(config: NetworkConfig, height: int, width: int) -> float:
    """Multiply-adds per frame of all blocks; attention runs on the padded maps."""
    total = 0.0
    for stage, scale in ((3, 8), (4, 16)):
        block, depth = config.block(stage), config.depths[stage]
        tokens = (height // scale) * (width // scale)
        grid = WindowGrid(height // scale, width // scale, config.window)
        padded = grid.count * config.window**2
        c, m, area = block.width, block.motion_width, config.window**2
        linear = padded * (4 * c * c + m * m)
        products = padded * area * (2 * c + m)
        mlp = tokens * (2 * c * c * block.mlp_ratio + 9 * c * block.mlp_ratio)
        total += depth * (linear + products + mlp)
    return total


def _heads(config: NetworkConfig, pixels: float) -> float:
    total, hidden = 0.0, config.head_hidden
    for stage, scale, known in ((4, 16, 6), (3, 8, 17)):
        motion = config.block(stage).motion_width * config.depths[stage]
        inputs = 2 * (motion + config.widths[stage]) // 16 + known
        total += pixels * (4 / scale) ** 2 * 9 * (inputs * hidden + hidden**2 + hidden * 5)
    return total


def _unet(config: NetworkConfig, pixels: float) -> float:
    total, width = 0.0, config.unet_width
    for level in range(4):
        outputs = 2 * width * 2**level
        inputs = 2 * config.widths[level] + (17 if level == 0 else outputs // 2)
        total += pixels / 4 ** (level + 1) * 9 * (inputs * outputs + outputs**2)
    for level in range(4):
        outputs = width * 2 ** (3 - level)
        inputs = 16 * width + 2 * config.widths[4] if level == 0 else 4 * outputs
        # Every input meets all 16 taps.
        total += pixels / 4 ** (4 - level) * 16 * inputs * outputs
    return total + pixels * 9 * width * 3
