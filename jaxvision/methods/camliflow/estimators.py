"""What estimates flow from a cost volume in CamLiPWC (after PWC-Net, 1709.02371, and PointPWC-Net,
1911.12408): estimators and context network of pixels, cost volume and estimator of points."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from jaxvision.methods.camliflow.layers import (
    ConvUnit,
    Linear,
    PointConv,
    PointMLP,
    Unit,
    offsets_of,
)
from jaxvision.nn.convolution import Conv
from jaxvision.ops.grouping import group_points

WIDTH = 64
ESTIMATOR = (128, 128, 96, 64, 32)
CONTEXT = (128, 128, 128, 96, 64, 32)
DILATIONS = (1, 2, 4, 8, 16, 1)


def estimator_width(inputs: int, lite: bool) -> int:
    """Channels that an estimator of so many inputs gives."""
    return sum(ESTIMATOR[-2:]) if lite else inputs + sum(ESTIMATOR)


class ImageEstimator(nn.Module):
    """Densely connected convolutions; lite: each sees the two before it. head: whether the flow is
    estimated here, too."""

    lite: bool = False
    head: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w d"], Float[Array, "b h w 2"] | None]:
        if self.lite:
            found = [x]
            for number, width in enumerate(ESTIMATOR):
                seen = found[-1:] if number < 2 else found[-2:]
                unit = ConvUnit(width, name=f"conv_{number}")
                found.append(unit(jnp.concatenate(seen, axis=-1)))
            features = jnp.concatenate(found[-2:], axis=-1)
        else:
            features = x
            for number, width in enumerate(ESTIMATOR):
                new = ConvUnit(width, name=f"conv_{number}")(features)
                features = jnp.concatenate([new, features], axis=-1)
        if not self.head:
            return features, None
        return features, Conv(2, torch_default=True, dtype=None, name="head")(features)


class ContextNetwork(nn.Module):
    """Dilated convolutions: (features, what is added to the flow)."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w 32"], Float[Array, "b h w 2"]]:
        for number, (width, dilation) in enumerate(zip(CONTEXT, DILATIONS, strict=True)):
            x = ConvUnit(width, dilation=dilation, name=f"conv_{number}")(x)
        return x, Conv(2, torch_default=True, dtype=None, name="head")(x)


class PointEstimator(nn.Module):
    """Two point convolutions and two layers. head: whether the flow is estimated here, too."""

    head: bool = False

    @nn.compact
    def __call__(
        self,
        xyz: Float[Array, "b n 3"],
        features: Float[Array, "b n c"],
        neighbours: Int[Array, "b n k"],
    ) -> tuple[Float[Array, "b n 64"], Float[Array, "b n 3"] | None]:
        x = PointConv(128, name="conv_0")(xyz, features, neighbours, xyz)
        x = PointConv(128, name="conv_1")(xyz, x, neighbours, xyz)
        x = PointMLP((128, WIDTH), name="mlp")(x)
        return x, Linear(3, name="head")(x) if self.head else None


class PointCost(nn.Module):
    """A cost of each point with its nearest points in the other cloud, gathered over its nearest in
    its own. aligned: whether a last layer gives 64 channels."""

    features: int
    aligned: bool = False

    @nn.compact
    def __call__(
        self,
        xyz: tuple[Float[Array, "b n 3"], Float[Array, "b m 3"]],
        features: tuple[Float[Array, "b n c"], Float[Array, "b m c"]],
        across: Int[Array, "b n k"],
        within: Int[Array, "b n k"],
    ) -> Float[Array, "b n d"]:
        """across: the nearest points of the second cloud.  within: of the first."""
        widths, c, dtype = (8, 8, self.features), features[0].shape[-1], features[0].dtype
        offsets = offsets_of(xyz[1], xyz[0], across).astype(dtype)
        mine = jnp.broadcast_to(features[0][:, :, None], (*across.shape, c))
        both = jnp.concatenate([mine, group_points(features[1], across), offsets], axis=-1)
        cost = PointMLP((self.features, self.features), name="cost_mlp")(both)
        weights = PointMLP(widths, "relu", name="weights_across")(offsets)
        cost = jnp.sum(weights * cost, axis=2)
        offsets = offsets_of(xyz[0], xyz[0], within).astype(dtype)
        weights = PointMLP(widths, "relu", name="weights_within")(offsets)
        cost = jnp.sum(weights * group_points(cost, within), axis=2)
        return Unit(WIDTH, name="align")(cost) if self.aligned else cost
