"""What all tasks of videos with words share: a vocabulary, annotated videos, weight decay."""

from functools import cached_property

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from jaxvision.data.camera_clips import SUFFIXES
from jaxvision.data.normalisation import normalise
from jaxvision.data.word_pieces import WordPieces
from jaxvision.errors import InputError
from jaxvision.methods.umt import made_clips
from jaxvision.methods.umt.language.inputs import CaptionedClips
from jaxvision.training.task import Batch, Group, Task

# One-dimensional parameters, by the last part of their path. The temperature has none, and decays.
UNDECAYED = ("bias", "scale", "query_bias", "value_bias")


class WordsTask(Task):
    """Batches hold `video`, uint8 [b, t, h, w, 3] RGB, and words as ids and masks."""

    input_suffixes = SUFFIXES
    beside_endings = (".txt",)

    @cached_property
    def pieces(self) -> WordPieces:
        """The user's vocabulary. InputError where the word table has not a row for each piece."""
        if self.makes_clips:
            pieces = made_clips.word_pieces()
        else:
            pieces = WordPieces(self.file("vocabulary", "BERT's vocab.txt, or one's own"))
        pieces.check_size(self.config.language.vocabulary)
        return pieces

    @property
    def makes_clips(self) -> bool:
        """Whether clips and captions are made up, not read."""
        return self.config.data.get("name") == made_clips.NAME

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.config.model.image_size)

    def file(self, key: str, what: str = "an annotation file (JSON or SQLite)") -> str:
        """The path `data.<key>`. InputError where it is not given."""
        if not self.config.data[key]:
            raise InputError(f"data.{key}: expected {what}")
        return self.config.data[key]

    def clips(self, frames: int, training: bool = True) -> CaptionedClips:
        """How a record becomes a sample."""
        return CaptionedClips(
            frames=frames,
            size=self.size,
            pieces=self.pieces,
            length=self.config.task.text_length,
            training=training,
            flip=self.config.task.flip,
            seconds=self.config.data.seconds,
        )

    def video_of(self, frames: int) -> jax.ShapeDtypeStruct:
        """The videos of a batch of clips of so many frames."""
        shape = (self.config.train.batch_size, frames, *self.size, 3)
        return jax.ShapeDtypeStruct(shape, jnp.uint8)

    def prepare(self, batch: Batch, rng: PRNGKeyArray, train: bool) -> Batch:
        """Adds normalised pixels (`input`), where there are any."""
        return {**batch, "input": normalise(batch["video"])} if "video" in batch else batch

    def parameter_group(self, path: str, shape: tuple[int, ...]) -> Group:
        return Group(decay=0.0 if path.rsplit("/", 1)[-1] in UNDECAYED else 1.0)


def words_of(
    rows: tuple[int, ...], length: int, prefix: str = ""
) -> dict[str, jax.ShapeDtypeStruct]:
    """`ids` and `mask` of texts: so many in each axis of `rows`, each `length` tokens."""
    return {
        f"{prefix}ids": jax.ShapeDtypeStruct((*rows, length), jnp.int32),
        f"{prefix}mask": jax.ShapeDtypeStruct((*rows, length), jnp.bool_),
    }
