"""The official tensors of BERT as UMT keeps it: its layers, cross-attention, masked-word head."""

from collections.abc import Iterator

import numpy as np

from jaxvision.methods.umt.language.text import TextConfig
from jaxvision.nn.bert_layers import BertConfig
from jaxvision.weights.mapping import Entry
from jaxvision.weights.transformer_entries import from_heads, linear, norm, to_heads


def encoder_entries(
    name: str, path: str, config: TextConfig, context: int | None
) -> Iterator[Entry]:
    """A text encoder: `name`embeddings.* and `name`encoder.layer.*, ours below `path`.

    context: width of what the fusion layers attend to; None where they have no cross-attention.
    """
    width = config.layer.width
    table = np.arange(config.positions)[None]
    yield Entry(
        f"{name}embeddings.position_ids",
        table.shape,
        None,
        dtype="int64",
        optional=True,
        value=table,
    )
    for official, ours, rows in (
        ("word", "words", config.vocabulary),
        ("position", "positions", config.positions),
        ("token_type", "segments", 2),
    ):
        yield Entry(
            f"{name}embeddings.{official}_embeddings.weight",
            (rows, width),
            f"{path}/embeddings/{ours}",
        )
    yield from norm(f"{name}embeddings.LayerNorm", f"{path}/embeddings/norm", width)
    for layer in range(config.text_layers + config.fusion_layers):
        row = layer - config.text_layers
        stack, row = ("text", layer) if row < 0 else ("fusion", row)
        yield from _layer(
            f"{name}encoder.layer.{layer}",
            f"{path}/{stack}/layers",
            row,
            config.layer,
            context if stack == "fusion" else None,
        )


def head_entries(name: str, path: str, words: str, config: TextConfig) -> Iterator[Entry]:
    """The masked-word head, `name`cls.predictions.*, ours at `path`.  words: our word table."""
    width, vocabulary = config.layer.width, config.vocabulary
    name = f"{name}cls.predictions"
    yield Entry(f"{name}.bias", (vocabulary,), f"{path}/bias")
    yield from linear(f"{name}.transform.dense", f"{path}/dense", width, width)
    yield from norm(f"{name}.transform.LayerNorm", f"{path}/norm", width)
    # Tied: files hold these twice. Where the copies differ the later one counts, as it did.
    yield Entry(f"{name}.decoder.weight", (vocabulary, width), words, optional=True)
    yield Entry(f"{name}.decoder.bias", (vocabulary,), f"{path}/bias", optional=True)


def language_model_entries(
    name: str, path: str, config: TextConfig, context: int | None
) -> Iterator[Entry]:
    """A `LanguageModel`: `name`bert.* and `name`cls.predictions.*.  context: as above."""
    yield from encoder_entries(f"{name}bert.", f"{path}/encoder", config, context)
    words = f"{path}/encoder/embeddings/words"
    yield from head_entries(name, f"{path}/head", words, config)


def _layer(
    name: str, path: str, row: int, config: BertConfig, context: int | None
) -> Iterator[Entry]:
    width = config.width
    yield from _attention(f"{name}.attention", f"{path}/self_attention", row, config, width)
    if context is not None:
        cross = f"{path}/cross_attention"
        yield from _attention(f"{name}.crossattention", cross, row, config, context)
    up, down = f"{path}/feed_forward/up", f"{path}/feed_forward/down"
    yield from linear(f"{name}.intermediate.dense", up, width, config.hidden, row)
    yield from linear(f"{name}.output.dense", down, config.hidden, width, row)
    yield from norm(f"{name}.output.LayerNorm", f"{path}/feed_forward/norm", width, row)


def _attention(name: str, path: str, row: int, config: BertConfig, context: int) -> Iterator[Entry]:
    """context: width of the source of keys and values."""
    width, heads = config.width, config.heads
    for part in ("query", "key", "value"):
        sizes = (width if part == "query" else context, width, heads)
        yield from to_heads(f"{name}.self.{part}", f"{path}/{part}", sizes, row)
    yield from from_heads(f"{name}.output.dense", f"{path}/out", width, heads, row)
    yield from norm(f"{name}.output.LayerNorm", f"{path}/norm", width, row)


def bert_entries(config: TextConfig) -> list[Entry]:
    """Google's BERT as it is published for pretraining. Nothing uses its pooler and the head that
    tells whether two sentences follow each other."""
    width = config.layer.width
    unused = {"bert.pooler.dense": (width, width), "cls.seq_relationship": (2, width)}
    return [
        *language_model_entries("", "params", config, None),
        *(
            Entry(f"{name}.{part}", shape if part == "weight" else shape[:1], None, optional=True)
            for name, shape in unused.items()
            for part in ("weight", "bias")
        ),
    ]
