"""Official UMT and CLIP state dicts <-> our variables."""

from collections.abc import Iterator

from jaxvision.methods.umt.clip import ClipVision
from jaxvision.methods.umt.detection.model import ActionDetector
from jaxvision.methods.umt.encoder import AlignedEncoder
from jaxvision.weights import transformer_entries
from jaxvision.weights.layout import chain, heads_bias, heads_out, reshape
from jaxvision.weights.mapping import Entry
from jaxvision.weights.transformer_entries import from_heads, linear, norm
from jaxvision.weights.video_transformer_entries import blocks, patch_embedding


def student_entries(model: AlignedEncoder, prefix: str = "", path: str = "params") -> list[Entry]:
    """Every tensor of a stage-1 checkpoint, in its order; with a pool norm also of stage 2's vision
    tower.  prefix: before every official name.  path: where our tree is."""
    width, table = model.block.width, (1, model.grid.tokens, model.block.width)
    positions = Entry(
        f"{prefix}encoder.pos_embed", table, f"{path}/encoder/positions", reshape(table, table[1:])
    )
    return [
        *([positions] if model.position_table else []),
        *patch_embedding(f"{prefix}encoder.", f"{path}/encoder", model.grid, width),
        *blocks(
            f"{prefix}encoder.blocks", f"{path}/encoder/stack/blocks", model.block, model.depth
        ),
        *norm(f"{prefix}encoder.norm", f"{path}/encoder_norm", width),
        *(
            entry
            for k in range(model.returned)
            for entry in (
                *linear(
                    f"{prefix}clip_decoder.{k}.head",
                    f"{path}/heads/projection",
                    width,
                    model.output_width,
                    k,
                ),
                *norm(
                    f"{prefix}clip_decoder.{k}.norm", f"{path}/heads/norm", model.output_width, k
                ),
            )
        ),
        *(norm(f"{prefix}pool_norm", f"{path}/pooled_norm", width) if model.pool_norm else []),
    ]


def detector_entries(model: ActionDetector) -> list[Entry]:
    """Every tensor of an action detector's checkpoint, in its order: a classifier's with the
    encoder's norm in place of the pooled one."""
    width = model.block.width
    return [
        *patch_embedding("", "params/encoder", model.grid, width),
        *blocks("blocks", "params/encoder/stack/blocks", model.block, model.depth),
        *norm("norm", "params/norm", width),
        *linear("head", "params/head", width, model.actions),
    ]


def clip_entries(
    model: ClipVision, prefix: str = "", path: str = "params", *, cubes: bool = True
) -> list[Entry]:
    """Every tensor of the teacher, in its order.

    cubes: whether the kernel is one of cubes, [out, 3, t, p, p], as in UMT's own files; else one of
    pictures, [out, 3, p, p], as OpenAI's.
    """
    width, patch = model.block.width, model.grid.patch
    cube = (model.grid.tubelet, patch, patch)
    kernel = transformer_entries.cube_embedding(
        f"{prefix}conv1", f"{path}/patch_embedding/projection", width, cube
    )[0]
    if not cubes:
        picture = (width, 3, patch, patch)
        layout = chain(reshape(picture, (width, 3, 1, patch, patch)), kernel.layout)
        kernel = Entry(kernel.name, picture, kernel.path, layout)
    return [
        Entry(f"{prefix}class_embedding", (width,), f"{path}/class_embedding"),
        Entry(f"{prefix}positional_embedding", (model.places + 1, width), f"{path}/positions"),
        Entry(f"{prefix}proj", (width, model.output_width), f"{path}/projection"),
        kernel,
        *norm(f"{prefix}ln_pre", f"{path}/pre_norm", width),
        *(
            entry
            for i in range(model.depth)
            for entry in _clip_block(f"{prefix}transformer.resblocks.{i}", path, model, i)
        ),
        *norm(f"{prefix}ln_post", f"{path}/post_norm", width),
    ]


def _clip_block(name: str, path: str, model: ClipVision, number: int) -> Iterator[Entry]:
    """One block: stacked with the others, but for the last."""
    last = number == model.depth - 1
    place, row = (f"{path}/last_block", None) if last else (f"{path}/stack/blocks", number)
    block = model.block
    width, heads = block.width, block.heads
    yield Entry(
        f"{name}.attn.in_proj_weight",
        (3 * width, width),
        f"{place}/attention/qkv/kernel",
        heads_out(width, heads, fused=3),
        row,
    )
    yield Entry(
        f"{name}.attn.in_proj_bias",
        (3 * width,),
        f"{place}/attention/qkv/bias",
        heads_bias(heads, fused=3),
        row,
    )
    out = f"{place}/attention/out"
    yield from from_heads(f"{name}.attn.out_proj", out, width, heads, row)
    yield from norm(f"{name}.ln_1", f"{place}/attention_norm", width, row)
    yield from linear(f"{name}.mlp.c_fc", f"{place}/mlp/up", width, block.hidden, row)
    yield from linear(f"{name}.mlp.c_proj", f"{place}/mlp/down", block.hidden, width, row)
    yield from norm(f"{name}.ln_2", f"{place}/mlp_norm", width, row)
