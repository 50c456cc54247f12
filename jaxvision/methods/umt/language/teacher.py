"""A teacher of one's own: an image-text network after CLIP (2103.00020), for want of its weights.

Its image transformer is `ClipVision`, asked for its class token; its text transformer is the text
layers of `text.py`, which is not causal as CLIP's is.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.language.contrast import similarities
from jaxvision.methods.umt.language.text import TextConfig, TextEncoder
from jaxvision.methods.umt.language.video_text import FIRST_TEMPERATURE
from jaxvision.nn.initializers import torch_default_bias, torch_default_kernel


class PictureText(nn.Module):
    """teacher: of one frame.  language: its fusion layers are not used.  Pictures and
    sentences meet in the teacher's projected width."""

    teacher: ClipVision
    language: TextConfig

    def setup(self):
        width = self.language.layer.width
        self.text = TextEncoder(self.language)
        self.text_projection = nn.Dense(
            self.teacher.output_width,
            dtype=self.language.layer.dtype,
            kernel_init=nn.with_logical_partitioning(torch_default_kernel(), ("embed", None)),
            bias_init=nn.with_logical_partitioning(torch_default_bias(width), (None,)),
        )
        self.temperature = self.param(
            "temperature", nn.initializers.constant(FIRST_TEMPERATURE), ()
        )

    def __call__(
        self,
        pictures: Float[Array, "b 1 h w 3"],
        ids: Int[Array, "c n"],
        mask: Bool[Array, "c n"],
        deterministic: bool = True,
    ) -> Float[Array, "b c"]:
        """Cosines of all pictures with all sentences over the temperature.  pictures: normalised
        pixels."""
        features = self.teacher.class_features(self.teacher.earlier_blocks(pictures))
        states = self.text.encode(ids, mask, deterministic)
        sentences = self.text_projection(states[:, 0])
        return similarities(features[:, None], sentences) / jnp.asarray(self.temperature)
