"""CenterPoint's head: a heat map per class and a box at every cell (2006.11275)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel
from jaxvision.nn.normalization import BatchNorm

Map = Float[Array, "b h w c"]
# One dict a task: {"reg": .., "height": .., "dim": .., "rot": .., ["vel": ..,] "hm": ..}.
Predictions = list[dict[str, Map]]
HEAT_BIAS = -2.19  # sigmoid: a tenth of the cells at first
AXES = (None, None, "embed", "mlp")
KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
DEFAULT = torch_default_kernel((-4, -3, -2))


def branches(velocity: bool) -> dict[str, int]:
    """Outputs of the box branches, in the published order: sub-cell offset x, y; height; log of
    width, length, height; sine and cosine of the yaw; velocity x, y."""
    found = {"reg": 2, "height": 1, "dim": 3, "rot": 2}
    return found | {"vel": 2} if velocity else found


class Hidden(nn.Module):
    """3x3 convolution with bias, batch norm, ReLU."""

    outputs: int
    kaiming: bool = False
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Map, train: bool) -> Map:
        x = _convolution(x, self.outputs, "convolution", self.dtype, kaiming=self.kaiming)
        x = BatchNorm(self.norm_groups, dtype=self.dtype, name="norm")(x, not train)
        return jax.nn.relu(x)


def _convolution(
    x: Map,
    outputs: int,
    name: str,
    dtype: jnp.dtype,
    *,
    kaiming: bool = False,
    bias: float | None = None,
) -> Map:
    """kaiming: initial kernel normal by fan out, bias 0.  bias: another initial value."""
    start = torch_default_bias(9 * x.shape[-1])
    if kaiming or bias is not None:
        start = nn.initializers.constant(bias or 0.0)
    kernel = KAIMING if kaiming else DEFAULT
    return nn.Conv(
        outputs,
        (3, 3),
        dtype=dtype,
        kernel_init=nn.with_logical_partitioning(kernel, AXES),
        bias_init=start,
        name=name,
    )(x)


class CenterHead(nn.Module):
    """classes: of each task.  velocity: whether boxes have one (nuScenes; Waymo's have none).

    The hidden layers of all branches are one convolution of tasks x branches x width channels.
    """

    classes: tuple[int, ...]
    velocity: bool = True
    width: int = 64
    norm_groups: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Map, train: bool = False, features: bool = False
    ) -> Predictions | tuple[Predictions, Map]:
        """Raw branch outputs of each task. features: also the shared map."""
        shared = Hidden(self.width, norm_groups=self.norm_groups, dtype=self.dtype, name="shared")(
            x.astype(self.dtype), train
        )
        sizes, tasks = branches(self.velocity), len(self.classes)
        # Unstacked at once: the gradient of picking them one by one is a sum of padded arrays.
        boxes = jnp.unstack(self._stack(tasks * len(sizes), True, "box_hidden")(shared, train))
        heat = jnp.unstack(self._stack(tasks, False, "heat_hidden")(shared, train))
        found = []
        for task, classes in enumerate(self.classes):
            maps = {}
            for number, (name, outputs) in enumerate(sizes.items()):
                hidden = boxes[task * len(sizes) + number]
                maps[name] = _convolution(
                    hidden, outputs, f"task{task}_{name}", self.dtype, kaiming=True
                )
            maps["hm"] = _convolution(
                heat[task], classes, f"task{task}_hm", self.dtype, bias=HEAT_BIAS
            )
            found.append({name: value.astype(jnp.float32) for name, value in maps.items()})
        return (found, shared) if features else found

    def _stack(self, count: int, kaiming: bool, name: str):
        stacked = nn.vmap(
            Hidden,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            in_axes=(None, None),
            axis_size=count,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        return stacked(self.width, kaiming, self.norm_groups, self.dtype, name=name)
