"""CamLiFlow's losses: distances of every iteration or level from the truth, weighted (section 4.3).

Truth is [..., d] or [..., d + 1], whose last channel is above 0 where it is valid. Means are over
the valid elements of all samples given; without any the loss is 0.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxvision.errors import check_choice
from jaxvision.ops.grouping import group_points
from jaxvision.ops.image_sampling import resize_flow

LEVEL_WEIGHTS = (8.0, 4.0, 2.0, 1.0, 0.5)  # from the finest level on
GAMMA = 0.8


def _length(difference: Float[Array, "*n d"]) -> Float[Array, "*n"]:
    """With gradient 0 where it is 0."""
    squared = jnp.sum(jnp.square(difference), axis=-1)
    apart = squared > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1)), 0)


ORDERS: dict[str, Callable[[Array], Array]] = {
    "l2-norm": _length,
    "l1": lambda d: jnp.sum(jnp.abs(d), axis=-1),
    "robust": lambda d: (jnp.sum(jnp.abs(d), axis=-1) + 0.01) ** 0.4,
}


def split_truth(
    truth: Float[Array, "*n e"], width: int
) -> tuple[Float[Array, "*n d"], Bool[Array, "*n"]]:
    """(flow of `width` components, where it is valid)."""
    if truth.shape[-1] == width:
        return truth, jnp.ones(truth.shape[:-1], bool)
    return truth[..., :width], truth[..., width] > 0


def distance(
    flow: Float[Array, "*n d"], truth: Float[Array, "*n e"], order: str
) -> Float[Array, ""]:
    """The mean over valid elements. order: of ORDERS, by element."""
    check_choice("unknown order of a loss", order, ORDERS)
    true, valid = split_truth(truth, flow.shape[-1])
    errors = ORDERS[order](flow - true)
    total = jnp.sum(jnp.where(valid, errors, 0))
    return total / jnp.maximum(jnp.sum(valid), 1)


def every_point_valid(truth: Float[Array, "*n 4"]) -> Float[Array, "*n 4"]:
    """Scene flow as the published RAFT of points alone takes it, in its loss and its measures."""
    return truth.at[..., 3].set(1)


def sequence_loss(
    flows: Sequence[Float[Array, "*n d"]], truth: Float[Array, "*n e"], gamma: float, order: str
) -> Float[Array, ""]:
    """RAFT's: later iterations count for more, each `gamma` times the next."""
    last = len(flows) - 1
    terms = [gamma ** (last - i) * distance(flow, truth, order) for i, flow in enumerate(flows)]
    return jnp.sum(jnp.stack(terms))


def pyramid_loss_2d(
    flows: Sequence[Float[Array, "b hi wi 2"]],
    truth: Float[Array, "b h w e"],
    weights: Sequence[float],
    order: str,
) -> Float[Array, ""]:
    """PWC's, of flows from the finest level on, each resized to the truth."""
    size = (truth.shape[1], truth.shape[2])
    terms = [
        weight * distance(resize_flow(flow, size), truth, order)
        for flow, weight in zip(flows, weights, strict=False)
    ]
    return jnp.sum(jnp.stack(terms))


def pyramid_loss_3d(
    flows: Sequence[Float[Array, "b ni 3"]],
    truth: Float[Array, "b n e"],
    samples: Sequence[Int[Array, "b ni"] | None],
    weights: Sequence[float],
    order: str,
) -> Float[Array, ""]:
    """PWC's, of flows from the finest level on. samples: which points each level holds, None for
    all of them."""
    terms = []
    for flow, places, weight in zip(flows, samples, weights, strict=False):
        there = truth if places is None else group_points(truth, places)
        terms.append(weight * distance(flow, there, order))
    return jnp.sum(jnp.stack(terms))
