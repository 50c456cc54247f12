"""What the teacher says of a clip: what the student may see, and what it should answer there."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision.errors import InputError
from jaxvision.methods.umt.clip import ClipVision, resize_for_teacher
from jaxvision.ops import token_masks


class Guidance(NamedTuple):
    """attention: of the teacher's class token, per frame.  visible: ascending token indices.
    targets: the teacher's features there."""

    attention: Float[Array, "bt n"]
    visible: Int[Array, "b tm"]
    targets: Float[Array, "k b tm out"]


def visible_places(places: int, ratio: float, setting: str) -> int:
    """Visible places of each frame. InputError, with the name of the `setting` that the ratio is,
    where all of them are visible or none."""
    count = token_masks.visible_per_frame(places, ratio) if math.isfinite(ratio) else 0
    if not 0 < count < places:
        raise InputError(
            f"{setting}={ratio} leaves {count} of a frame's {places} tokens visible; expected "
            "some, not all"
        )
    return count


def guide(
    teacher: ClipVision,
    variables: Mapping,
    video: Float[Array, "b t h w 3"],
    noise: Float[Array, "bt n"],
    count: int,
    *,
    spare: bool = True,
) -> Guidance:
    """Attention, a mask drawn from it, targets (section 3.1).

    video: pixels normalised for the student, of any size.  noise: Gumbel draws.
    count: visible places of each frame.  spare: the teacher's last block and projection are
    computed for these alone; the numbers are the same.
    """
    frames = teacher.grid.window[0]
    # 1. All blocks but the last, over every frame.
    video = resize_for_teacher(video, teacher.grid.image_size)
    earlier = teacher.apply(variables, video, method="earlier_blocks")
    # 2. What the class token looks at, and a draw from it.
    attention = teacher.apply(variables, earlier, method="attention")
    places = token_masks.guided_places(attention, noise, count)
    visible = token_masks.tokens_of_places(places, frames, teacher.places)
    # 3. Features of the places that were drawn.
    if spare:
        targets = teacher.apply(variables, earlier, places, method="features")
    else:
        every = teacher.apply(variables, earlier, method="features")
        targets = jnp.take_along_axis(every, visible[None, :, :, None], axis=2)
    return Guidance(attention, visible, targets)
