"""Official VideoMAE state dicts <-> our variables (the paper's repository)."""

from jaxvision.methods.videomae.model import MaskedAutoencoder
from jaxvision.weights.layout import LINEAR, reshape
from jaxvision.weights.mapping import Entry
from jaxvision.weights.transformer_entries import linear, norm
from jaxvision.weights.video_transformer_entries import blocks, patch_embedding


def pretraining_entries(model: MaskedAutoencoder) -> list[Entry]:
    """Every tensor of a pretraining checkpoint, in its order."""
    encoder, decoder = model.encoder_block, model.decoder_block
    width, token = decoder.width, (1, 1, decoder.width)
    return [
        Entry("mask_token", token, "params/decoder/mask_token", reshape(token, (-1,))),
        *patch_embedding("encoder.", "params/encoder", model.grid, encoder.width),
        *blocks("encoder.blocks", "params/encoder/stack/blocks", encoder, model.encoder_depth),
        *norm("encoder.norm", "params/encoder_norm", encoder.width),
        *blocks("decoder.blocks", "params/decoder/stack/blocks", decoder, model.decoder_depth),
        *norm("decoder.norm", "params/decoder/norm", width),
        *linear("decoder.head", "params/decoder/head", width, model.grid.cube_values),
        Entry(
            "encoder_to_decoder.weight",
            (width, encoder.width),
            "params/encoder_to_decoder/kernel",
            LINEAR,
        ),
    ]
