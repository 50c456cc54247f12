"""How far a student's features are from the teacher's (section 3.1)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.errors import InputError, nearest
from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.nn.video_transformer import block_multiply_adds

LOSSES = ("l2", "mse", "smooth_l1")


def alignment_loss(
    student: Float[Array, "k b m out"],
    teacher: Float[Array, "k b m out"],
    kind: str = "l2",
    *,
    normalise: bool = False,
) -> Float[Array, "k b"]:
    """Of each returned layer and clip; the loss is the mean of all. float32.

    kind: "l2", 2 - 2 <student, teacher> (published; the squared distance of features of length 1);
        "mse"; or "smooth_l1" (quadratic below 1).
    normalise: both sides to length 1 first (stage 2, whose networks leave it to the loss).
    InputError for another kind.
    """
    student, teacher = (x.astype(jnp.float32) for x in (student, teacher))
    if normalise:
        student, teacher = (x / _length(x) for x in (student, teacher))
    if kind == "l2":
        return jnp.mean(2 - 2 * jnp.sum(student * teacher, axis=-1), axis=-1)
    error = student - teacher
    if kind == "mse":
        return jnp.mean(jnp.square(error), axis=(-2, -1))
    if kind != "smooth_l1":
        raise InputError(f"task.loss {kind!r}{nearest(kind, LOSSES)}")
    size = jnp.abs(error)
    return jnp.mean(jnp.where(size < 1, jnp.square(error) / 2, size - 0.5), axis=(-2, -1))


def _length(x: Float[Array, "... out"]) -> Float[Array, "... 1"]:
    return jnp.linalg.norm(x, axis=-1, keepdims=True)


def student_flops(model: AlignedEncoder, visible: int) -> float:
    """Operations of the matrix products of one clip's forward pass (a multiply-add is two)."""
    width = model.block.width
    multiply_adds = (
        visible * model.grid.cube_values * width
        + block_multiply_adds(model.block, model.depth, visible)
        + model.returned * visible * width * model.output_width
    )
    return 2.0 * multiply_adds


def teacher_flops(model: ClipVision, visible: int, spare: bool) -> float:
    """The same of the teacher. visible: places of each frame whose features are wanted; spare: the
    last block and the projection are computed for those alone."""
    block, frames = model.block, model.grid.window[0]
    tokens = model.places + 1
    asked = visible if spare else model.places
    keys = 3 * block.width**2 * tokens
    rest = (block.width**2 + 2 * block.width * block.hidden) + 2 * tokens * block.width
    multiply_adds = (
        model.places * model.grid.cube_values * block.width
        + block_multiply_adds(block, model.depth - 1, tokens)
        + keys
        + asked * rest
        + model.returned * asked * block.width * model.output_width
    )
    return 2.0 * frames * multiply_adds
