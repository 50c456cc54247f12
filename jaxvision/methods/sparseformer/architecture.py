"""What a SparseFormer is made of: sizes, the order of operations, and the numerics of its family.

Two code bases of the authors differ in numerics: that of the paper, and a later package, which also
holds the bootstrapped models (2312.01987). A `Flavour` is what differs.
"""

import dataclasses
from dataclasses import dataclass

import jax.numpy as jnp

from jaxvision.errors import InputError, nearest
from jaxvision.ops.sparse_sampling import Padding

OPERATIONS = ("attention", "mlp", "adjust", "sample", "position")
# The order of one step of the paper, and of the bootstrapped models.
FOCUS = ("attention", "adjust", "sample", "mlp")
PLAIN = ("attention", "mlp")


@dataclass(frozen=True)
class Unit:
    """`repeats` runs of the same operations with the same weights.

    operations: names of OPERATIONS, in order.
    """

    width: int
    operations: tuple[str, ...]
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Flavour:
    """The numerics of a family; the values are those of the paper's code.

    channel_norm_*: of the stem.  point_epsilon: see `sampling_points`.  norm_epsilon: of every
    layer norm but the generator's.  head_width: of attention; 0 means 64 heads whatever the width
    (or heads of width 1 below 64).  adjust_hidden: two maps, not one, give the boxes' adjustment.
    mixing_biases: in mixing, and a GELU between its two products.  generator_width: an integer, or
    a fraction of the token's width.  least_points: mixing puts out at least so many points.
    clamp: bound on the points' gradient, times 1 / map height; 0 means none.  drop_adjustment: drop
    path also on the boxes' adjustment.  zero_offsets: the map to offsets starts at zero, not at
    deviation 0.02.  paper_names: of its checkpoints.
    """

    channel_norm_epsilon: float = 1e-7
    channel_norm_unbiased: bool = True
    point_epsilon: float = 1e-7
    norm_epsilon: float = 1e-6
    generator_norm_epsilon: float = 1e-6
    head_width: int = 0
    adjust_hidden: bool = False
    padding: Padding = "zeros"
    mixing_biases: bool = True
    generator_width: float | int = 0.25
    least_points: int = 0
    transition_norm: bool = True
    stage_embedding: bool = False
    one_embedding: bool = False
    quick_gelu: bool = False
    clamp: float = 1.0
    drop_adjustment: bool = True
    zero_offsets: bool = False
    paper_names: bool = True


PAPER = Flavour()
PACKAGE = dataclasses.replace(
    PAPER,
    channel_norm_epsilon=1e-5,
    channel_norm_unbiased=False,
    point_epsilon=1e-5,
    generator_norm_epsilon=1e-5,
    least_points=32,
    clamp=0.0,
    zero_offsets=True,
    paper_names=False,
)
AUGREG = dataclasses.replace(
    PACKAGE,
    norm_epsilon=1e-5,
    head_width=64,
    adjust_hidden=True,
    padding="border",
    mixing_biases=False,
    generator_width=128,
    transition_norm=False,
    stage_embedding=True,
    one_embedding=True,
    drop_adjustment=False,
)
CLIP = dataclasses.replace(AUGREG, quick_gelu=True)
FLAVOURS = {"paper": PAPER, "package": PACKAGE, "augreg": AUGREG, "clip": CLIP}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """tokens: rows of the table of boxes (in a clip: of an image model's, times its replicates).
    points: sampled by each token.  channels: of the feature map.  outputs: classes, or the width
    of the embedding; 0 means no last linear map.  class_token_before: the number of the unit before
    which a class token is put in front; 0 means none, and the mean over tokens is classified.
    dimensions: 2, or 3 for clips.  drop_path: rate of the last unit; the first has 0.
    """

    tokens: int
    points: int
    channels: int
    units: tuple[Unit, ...]
    outputs: int
    flavour: Flavour = PAPER
    head_bias: bool = True
    class_token_before: int = 0
    dimensions: int = 2
    drop_path: float = 0.0
    dtype: jnp.dtype = jnp.float32

    def __post_init__(self) -> None:
        for number, unit in enumerate(self.units):
            for operation in unit.operations:
                if operation not in OPERATIONS:
                    raise InputError(
                        f"unit {number}: operation {operation!r}{nearest(operation, OPERATIONS)}"
                    )
            moving = set(unit.operations) - set(PLAIN)
            if moving and 0 < self.class_token_before <= number:
                raise InputError(
                    f"unit {number} does {', '.join(sorted(moving))}, for which the class token "
                    f"put in front of unit {self.class_token_before} has no box; use the mean of "
                    "the tokens (class_token_before=0)"
                )
            if unit.width % heads_of(unit.width, self.flavour):
                raise InputError(
                    f"unit {number}: width {unit.width} does not divide into "
                    f"{heads_of(unit.width, self.flavour)} heads"
                )

    @property
    def mixing_activations(self) -> tuple[str, str]:
        """After the channels' and after the points' product. The package applies the first one
        together with the bias only, so the bootstrapped models have none."""
        return ("gelu" if self.flavour.mixing_biases else "none", "gelu")

    @property
    def mixed_points(self) -> int:
        """Points after mixing."""
        return max(self.points, self.flavour.least_points)

    @property
    def executions(self) -> int:
        """Runs of units, repeats counted."""
        return sum(unit.repeats for unit in self.units)

    def generator_width(self, width: int) -> int:
        chosen = self.flavour.generator_width
        return chosen if isinstance(chosen, int) else int(chosen * width)


def heads_of(width: int, flavour: Flavour) -> int:
    """Attention heads at a width."""
    if flavour.head_width:
        return max(width // flavour.head_width, 1)
    return min(64, width)


def paper_units(widths: tuple[int, int], cortex: int, repeats: int = 4) -> tuple[Unit, ...]:
    """A focusing unit run `repeats` times, then `cortex` units of which the first also samples."""
    return (
        Unit(widths[0], FOCUS, repeats),
        Unit(widths[1], FOCUS),
        *(Unit(widths[1], PLAIN) for _ in range(cortex - 1)),
    )


def bootstrapped_units(widths: tuple[int, int], cortex: int, repeats: int = 4) -> tuple[Unit, ...]:
    """Sampling before attention, a unit that only samples, then `cortex` blocks of a ViT."""
    return (
        Unit(widths[0], ("sample", "position", "attention", "mlp", "adjust"), repeats),
        Unit(widths[1], ("sample", "position")),
        *(Unit(widths[1], PLAIN) for _ in range(cortex)),
    )
