"""Actor-to-context reorganisation and context-to-actor enhancement (sections 3.2 and 3.3)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.cycleacr.interaction import BlockConfig, InteractionBlock
from jaxvision.nn.linear import logical, zeros

# Of the paper's cycle, by their names in the published code: context is reorganised by the actor
# and the cells of its box (local_a2c); the actor is enhanced by that context (local_c2a); the mean
# context is reorganised by the enhanced actor (global_a2c, in the code alone).


class CycleModeling(nn.Module):
    """depth: blocks of each of the three branches."""

    config: BlockConfig
    depth: int

    @nn.compact
    def __call__(
        self,
        actor: Float[Array, "*b n c"],
        context: Float[Array, "*b t c"],
        local: Float[Array, "*b n cells c"],
        deterministic: bool = True,
    ) -> Float[Array, "*b n c2"]:
        """The enhanced actors beside the mean context as each of them reorganised it.

        context: of a clip, the same for all of its actors.  local: cells of each actor's box.
        """
        actor, context = actor[..., None, :], context[..., None, :, :]
        overall = jnp.mean(context.astype(jnp.float32), axis=-2, keepdims=True)
        overall = overall.astype(context.dtype)
        frames = context.shape[-2]
        # 1. The context sequence asks the actor and its cells.
        seen = jnp.concatenate([actor, local], axis=-2)
        for i in range(self.depth):
            context = self._block(f"local_a2c_{i}")(context, seen, deterministic)
        # 2. The actor asks the frames of its own context.
        init = logical(zeros, None, "embed")
        places = self.param("positions", init, (frames, self.config.width))
        frames_of_context = context + places.astype(context.dtype)
        for i in range(self.depth):
            actor = self._block(f"local_c2a_{i}")(actor, frames_of_context, deterministic)
        # 3. The mean context asks the actor as it is now.
        seen = jnp.concatenate([actor, local], axis=-2)
        for i in range(self.depth):
            overall = self._block(f"global_a2c_{i}")(overall, seen, deterministic)
        return jnp.concatenate([actor, overall], axis=-1)[..., 0, :]

    def _block(self, name: str) -> InteractionBlock:
        return InteractionBlock(self.config, self.config.width, joint=True, name=name)
