"""A plain video transformer that does not train, and the head on its tokens that does."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.nn.token_head import TokenHead, token_head
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, VideoEncoder, block_of, grid_of


class HeadedVideoEncoder(nn.Module):
    """The encoder of `VideoClassifier`, without dropout, and a `TokenHead` on what its last block
    answers. In two halves: `classify(keep(video))` is the whole."""

    grid: CubeGrid
    block: BlockConfig
    depth: int
    head: TokenHead
    position_table: bool = False
    position_window: tuple[int, int, int] | None = None

    def setup(self) -> None:
        self.encoder = VideoEncoder(
            self.grid,
            self.block,
            self.depth,
            position_table=self.position_table,
            position_window=self.position_window,
        )

    @property
    def classes(self) -> int:
        return self.head.classes

    def keep(self, video: Float[Array, "b t h w 3"]) -> Float[Array, "b m d"]:
        """What the head is given of a normalised video."""
        return self.head.kept(self.encoder(video))

    def classify(
        self, kept: Float[Array, "b m d"], deterministic: bool = True
    ) -> Float[Array, "b classes"]:
        """The head's logits, float32."""
        return self.head(kept, deterministic)

    def __call__(
        self,
        video: Float[Array, "b t h w 3"],
        deterministic: bool = True,
        features: bool = False,
    ) -> Float[Array, "b classes"] | Float[Array, "b d"]:
        """Logits of a normalised video, or what is in front of the last linear map."""
        return self.head(self.keep(video), deterministic, features)


def build_headed(model: Mapping[str, Any], classes: int, dtype: str) -> HeadedVideoEncoder:
    """The network that a recipe's `model` table describes."""
    return HeadedVideoEncoder(
        grid_of(model),
        block_of(model, dtype, kernel_init="normal_0.02"),
        model["depth"],
        token_head(
            model["width"],
            model["heads"],
            classes,
            pooling=model["pooling"],
            dropout=model["head_dropout"],
            dtype=dtype,
        ),
        position_table=model["position_table"],
        position_window=tuple(model.get("position_window") or ()) or None,
    )
