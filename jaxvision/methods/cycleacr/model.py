"""The whole detector: a backbone's maps, boxes of people, the head."""

from collections.abc import Sequence

from flax import linen as nn
from jaxtyping import Array, Bool, Float

from jaxvision.methods.cycleacr.head import ActionHead, ActorFeatures, HeadConfig, Maps
from jaxvision.methods.cycleacr.instances import Draws
from jaxvision.nn.resnet3d import ResNet3D
from jaxvision.nn.resnet3d_config import ResNet3DConfig
from jaxvision.nn.swin3d import Swin3D, Swin3DConfig
from jaxvision.nn.transformer import BlockConfig
from jaxvision.nn.video_transformer import CubeGrid, TransformerMap

# Backbones say `channels` and `frames` of what the head reads: of all maps side by side, and of the
# longest.
Clips = Sequence[Float[Array, "b t h w 3"]]


class SlowFastMaps(nn.Module):
    """The last maps of both pathways, at stride 16, slow first. Clips: slow and fast frames."""

    config: ResNet3DConfig
    frames: int

    @property
    def channels(self) -> int:
        return sum(pathway.outputs(5) for pathway in self.config.pathways)

    @nn.compact
    def __call__(self, clips: Clips, train: bool = False) -> Maps:
        slow, fast = clips
        return tuple(each[-1] for each in ResNet3D(self.config, name="network")(slow, fast, train))


class SwinMap(nn.Module):
    """The last map, at stride 32. Clips: one."""

    config: Swin3DConfig
    frames: int

    @property
    def channels(self) -> int:
        return self.config.outputs

    @nn.compact
    def __call__(self, clips: Clips, train: bool = False) -> Maps:
        return (Swin3D(self.config, name="network")(clips[0], not train)[0],)


class PlainMap(nn.Module):
    """A plain transformer's map, at its patches' stride. Clips: one."""

    grid: CubeGrid
    block: BlockConfig
    depth: int

    @property
    def frames(self) -> int:
        return self.grid.frames // self.grid.tubelet

    @property
    def channels(self) -> int:
        return self.block.width

    @nn.compact
    def __call__(self, clips: Clips, train: bool = False) -> Maps:
        network = TransformerMap(self.grid, self.block, self.depth, name="network")
        return (network(clips[0], train),)


class Detector(nn.Module):
    """What people of a clip do, by boxes of them (CycleACR)."""

    backbone: nn.Module
    config: HeadConfig

    def setup(self) -> None:
        self.head = ActionHead(self.config)

    def __call__(
        self,
        clips: Clips,
        boxes: Float[Array, "b n 4"],
        exists: Bool[Array, "b n"],
        window: Float[Array, "b moments slots c"],
        train: bool = False,
        draws: Draws | None = None,
    ) -> tuple[Float[Array, "b n classes"], ActorFeatures]:
        """Logits, and what they are of.

        clips: normalised frames.  boxes: x1, y1, x2, y2 in pixels.  window: of the memory (see
        `InstanceInteraction`).
        """
        return self.head(
            self.backbone(clips, train), boxes, exists, window, deterministic=not train, draws=draws
        )

    def features(
        self, clips: Clips, boxes: Float[Array, "b n 4"], train: bool = False
    ) -> ActorFeatures:
        """The first step alone: what needs no memory."""
        return self.head.features(self.backbone(clips, train), boxes, not train)

    def classify(
        self,
        found: ActorFeatures,
        exists: Bool[Array, "b n"],
        window: Float[Array, "b moments slots c"],
        draws: Draws | None = None,
    ) -> Float[Array, "b n classes"]:
        """The second step alone: what needs no video."""
        return self.head.classify(found, exists, window, True, draws)
