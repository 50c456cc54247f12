"""The decoder: queries that attend to each other, sample the clip, mix what they saw, and answer
(sections 3.2 and 3.3)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxvision.methods.stmixer import geometry
from jaxvision.nn.adaptive_mixing import AdaptiveMixing
from jaxvision.nn.initializers import Initializer, torch_default_bias
from jaxvision.nn.linear import linear, logical, norm, zeros
from jaxvision.nn.sharding import constrain
from jaxvision.ops import boxes as box_ops
from jaxvision.ops.attention import reference as attention
from jaxvision.ops.sparse_sampling import frame_means, sampled_means
from jaxvision.ops.sparse_sampling.pyramid import fractions, level_weights, pyramid_points

EPSILON = 1e-5
_xavier = nn.initializers.xavier_uniform()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The published head but for the temporal length.

    width: of queries and of the feature space.  frames: of the feature space, each of which is
    read.  points: a query samples in each of `groups` of channels.  multiplier: points after mixing
    as a multiple of those before.  hidden: of the feed-forward layers.  head_layers: hidden layers
    of the (person, action, box) heads.  strides: of the levels, in pixels.
    """

    queries: int = 100
    width: int = 256
    stages: int = 6
    heads: int = 8
    hidden: int = 2048
    frames: int = 8
    points: int = 32
    groups: int = 4
    multiplier: int = 4
    actions: int = 80
    objects: int = 1
    head_layers: tuple[int, int, int] = (1, 1, 1)
    strides: tuple[int, ...] = (4, 8, 16, 32)
    dtype: jnp.dtype = jnp.float32


class Answers(NamedTuple):
    """What every stage says of every query, stages first.

    person: logits of a person and of background.  action: logits, one sigmoid each.  boxes: x1, y1,
    x2, y2 in pixels of the input.
    """

    person: Float[Array, "*s b n classes"]
    action: Float[Array, "*s b n actions"]
    boxes: Float[Array, "*s b n 4"]


class Queries(NamedTuple):
    """boxes: (cx, cy, z, r).  spatial, temporal: the two vectors of each query."""

    boxes: Float[Array, "b n 4"]
    spatial: Float[Array, "b n d"]
    temporal: Float[Array, "b n d"]


class Space(NamedTuple):
    """The feature space, level by level, and its mean over the frames."""

    levels: tuple[Float[Array, "b t h w d"], ...]
    means: tuple[Float[Array, "b h w d"], ...]


def _linear(
    features: int,
    inputs: int,
    dtype: jnp.dtype,
    name: str,
    *,
    axes: tuple[str | None, str | None] = ("embed", None),
    kernel: Initializer = _xavier,
    bias: Initializer | None = None,
) -> nn.Dense | nn.DenseGeneral:
    """A linear map with xavier weights and PyTorch's bias."""
    bias = bias or torch_default_bias(inputs)
    return linear(features, axes, dtype=dtype, kernel=kernel, bias=bias, name=name)


class QueryAttention(nn.Module):
    """Self-attention with the code of the boxes added to queries, keys and values alike."""

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b n d"], bias: Float[Array, "b h n n"]
    ) -> Float[Array, "b n d"]:
        width, dtype = x.shape[-1], self.dtype
        qkv = linear(
            (3, self.heads, width // self.heads),
            ("embed", None, "heads", None),
            dtype=dtype,
            kernel=_xavier,
            name="qkv",
        )(x)
        query, key, value = jnp.moveaxis(qkv, -3, 0)
        query = query * (width // self.heads) ** -0.5
        mixed = attention.attend(query, key, value, bias)
        axes = ("heads", None, "embed")
        return linear(width, axes, dtype=dtype, kernel=_xavier, contracted=2, name="out")(mixed)


def _offset_bias(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
    """Points anywhere in the box, at the box's own level."""
    drawn = jax.random.uniform(key, (shape[0] // 3, 3), dtype, -0.5, 0.5)
    return drawn.at[:, 2].set(0).reshape(shape)


class SamplingMixing(nn.Module):
    """Points by the spatial vector, their features in every frame, and the mixing of both means:
    that over frames by the spatial vector, that over points by the temporal one."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, space: Space, queries: Queries) -> tuple[Array, Array]:
        """The two vectors after their mixings."""
        c = self.config
        b, n, width = queries.spatial.shape
        count = c.groups * c.points
        offsets = _linear(
            3 * count,
            width,
            jnp.float32,
            "offset",
            kernel=zeros,
            bias=_offset_bias,
        )(queries.spatial.astype(jnp.float32))
        points, level = pyramid_points(queries.boxes, offsets.reshape(b, n, count, 3))
        over_frames, over_points = sampled_means(
            space.levels,
            [fractions(points, f.shape, s) for f, s in zip(space.levels, c.strides, strict=True)],
            level_weights(level, len(space.levels)),
            groups=c.groups,
            means=space.means,
        )
        over_frames = over_frames.reshape(b, n, c.groups, c.points, -1)
        return (
            self._mixed("spatial", queries.spatial, over_frames),
            self._mixed("temporal", queries.temporal, over_points),
        )

    def _mixed(
        self, name: str, query: Float[Array, "b n d"], x: Float[Array, "b n g p c"]
    ) -> Float[Array, "b n d"]:
        c = self.config
        mixing = AdaptiveMixing(
            c.multiplier * x.shape[3],
            activations=("relu", "relu"),
            norm_epsilon=EPSILON,
            torch_initial=True,
            dtype=c.dtype,
            name=f"{name}_mixing",
        )
        return norm(f"{name}_norm", epsilon=EPSILON, dtype=c.dtype)(query + mixing(x, query))


class Head(nn.Module):
    """Hidden layers of a linear map, a norm and ReLU each, and a last linear map in float32."""

    layers: int
    outputs: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer = _xavier
    bias_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n o"]:
        width = x.shape[-1]
        for layer in range(self.layers):
            x = _linear(width, width, self.dtype, f"hidden_{layer}")(x)
            x = nn.relu(norm(f"norm_{layer}", epsilon=EPSILON, dtype=self.dtype)(x))
        bias = self.bias_init or torch_default_bias(width)
        last = _linear(
            self.outputs,
            width,
            jnp.float32,
            "out",
            kernel=self.kernel_init,
            bias=bias,
        )
        return last(x.astype(jnp.float32))


class DecoderStage(nn.Module):
    """Attention among queries, sampling and mixing, feed-forward layers, and the three heads."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, queries: Queries, space: Space) -> tuple[Queries, Answers, Array]:
        """Queries for the next stage, this stage's answers, and the change of the boxes."""
        c = self.config
        # 1. Each branch attends by the same boxes, with weights of its own.
        init = logical(nn.initializers.uniform(4.0), "heads")
        bias = geometry.attention_bias(
            queries.boxes, self.param("overlap_temperature", init, (c.heads,))
        )
        code = geometry.position_code(queries.boxes, c.width).astype(c.dtype)

        def attended(name: str, x: Array) -> Array:
            x = x + code
            mixed = QueryAttention(c.heads, c.dtype, name=f"{name}_attention")(x, bias)
            return norm(f"{name}_attention_norm", epsilon=EPSILON, dtype=c.dtype)(x + mixed)

        spatial = attended("spatial", queries.spatial)
        temporal = attended("temporal", queries.temporal)
        # 2. What the clip shows at the points of the box.
        sampling = SamplingMixing(c, name="sampling")
        spatial, temporal = sampling(space, Queries(queries.boxes, spatial, temporal))

        # 3. Feed-forward layers.
        def fed(name: str, x: Array) -> Array:
            up = _linear(c.hidden, c.width, c.dtype, f"{name}_up", axes=("embed", "mlp"))
            hidden = nn.relu(constrain(up(x), "batch", None, "mlp"))
            down = _linear(c.width, c.hidden, c.dtype, f"{name}_down", axes=("mlp", "embed"))
            return norm(f"{name}_feed_norm", epsilon=EPSILON, dtype=c.dtype)(x + down(hidden))

        spatial, temporal = fed("spatial", spatial), fed("temporal", temporal)
        # 4. Heads; the box moves on for the next stage, with its gradient.
        persons, actions, boxes = c.head_layers
        person = Head(persons, c.objects + 1, c.dtype, name="person")(spatial)
        change = Head(boxes, 4, c.dtype, zeros, zeros, name="box")(spatial)
        # Actions are rare: each begins at 1 %.
        rare = nn.initializers.constant(-4.59511985)
        both = jnp.concatenate([spatial, temporal], axis=-1)
        action = Head(actions, c.actions, c.dtype, bias_init=rare, name="action")(both)
        refined = box_ops.moved_by_scale(queries.boxes, change)
        answers = Answers(person, action, box_ops.from_scale_and_ratio(refined))
        return Queries(refined, spatial, temporal), answers, change


class FirstQueries(nn.Module):
    """Whole frames, and the normed rows of two learned tables, the same for every clip."""

    config: DecoderConfig

    @nn.compact
    def __call__(self, sizes: Float[Array, "b 4"]) -> Queries:
        c = self.config
        table = logical(nn.initializers.normal(1.0), None, "embed")

        def rows(name: str) -> Array:
            learned = self.param(name, table, (c.queries, c.width))
            centred = learned - jnp.mean(learned, axis=-1, keepdims=True)
            variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
            normed = (centred * jax.lax.rsqrt(variance + EPSILON)).astype(c.dtype)
            return jnp.broadcast_to(normed, (sizes.shape[0], *normed.shape))

        boxes = geometry.whole_frames(sizes, c.queries)
        return Queries(boxes, rows("spatial_queries"), rows("temporal_queries"))


class Decoder(nn.Module):
    """Learned queries, and the stages as one scan: parameters are stacked on a "layers" axis."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, levels: tuple[Float[Array, "b t h w d"], ...], sizes: Float[Array, "b 4"]
    ) -> tuple[Answers, Queries]:
        """Every stage's answers, and the last stage's queries.

        sizes: (w, h, w, h) of each clip in pixels, without padding.
        """
        c = self.config
        space = Space(tuple(levels), frame_means(levels))
        first = FirstQueries(c, name="first")(sizes)

        def step(stage: DecoderStage, queries: Queries, space: Space):
            queries, answers, _ = stage(queries, space)
            return queries, answers

        scan = nn.scan(
            step,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=c.stages,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        queries, answers = scan(DecoderStage(c, name="stages"), first, space)
        return answers, queries
