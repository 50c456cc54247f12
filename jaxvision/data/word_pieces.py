"""Sentences as BERT's word pieces, by a vocabulary file of the user's own; captions cleaned as
video-text papers do (ALBEF's, 2107.07651)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from jaxvision.errors import InputError
from jaxvision.stores.stored_path import path_to

PAD, UNKNOWN, BEGIN, SEPARATOR, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, BEGIN, SEPARATOR, MASK)
# Published answers carry their end as text.
ANSWER_END = " " + SEPARATOR
_DROPPED = re.compile(r"""[,.'!?"()*#:;~]""")
_SPACES = re.compile(r"\s{2,}")


def clean_caption(text: str) -> str:
    """Lower case, no punctuation, hyphens and slashes as spaces, single spaces; <person> is a word.

    Of captions and questions; answers stay as they are.
    """
    text = _DROPPED.sub("", text.lower()).replace("-", " ").replace("/", " ")
    text = text.replace("<person>", "person")
    return _SPACES.sub(" ", text).rstrip("\n").strip(" ")


class Tokens(NamedTuple):
    """ids, and which of them are not padding: each [sentences, length]."""

    ids: Int[np.ndarray, "b n"]
    mask: Bool[np.ndarray, "b n"]


class WordPieces:
    """A vocabulary: the line of a piece in the file is its id.

    A sentence is [CLS] and its pieces, without a [SEP] at its end; [SEP] written in capitals inside
    a sentence is one piece, which is how answers end.
    """

    def __init__(self, path: str | Path):
        """InputError where the file cannot be read, or lacks one of BERT's special pieces."""
        self._set(str(path), _read(path_to(path)))

    @classmethod
    def of_pieces(cls, pieces: Sequence[str], name: str = "vocabulary") -> "WordPieces":
        """A vocabulary without a file; `name` stands for it in errors."""
        made = cls.__new__(cls)
        made._set(name, pieces)
        return made

    def _set(self, name: str, pieces: Sequence[str]) -> None:
        self.name, self.size = name, len(pieces)
        self._ids = {piece: number for number, piece in enumerate(pieces)}
        missing = [piece for piece in SPECIAL if piece not in self._ids]
        if missing:
            raise InputError(f"{name}: a vocabulary without {', '.join(missing)}")
        self._tokenizer = _tokenizer(self._ids)

    def id(self, piece: str) -> int:
        """The id of a piece; InputError where the vocabulary lacks it."""
        if piece not in self._ids:
            raise InputError(f"{self.name}: no piece {piece!r} in the vocabulary")
        return self._ids[piece]

    def check_size(self, rows: int) -> None:
        """InputError unless the network's word table has a row for every piece."""
        if rows != self.size:
            raise InputError(
                f"{self.name}: {self.size} pieces for a word table of {rows} rows: expected equal"
            )

    def encode(self, sentences: Sequence[str], length: int) -> Tokens:
        """Sentences padded, or cut, to `length` tokens."""
        ids = np.full((len(sentences), length), self._ids[PAD], np.int32)
        mask = np.zeros((len(sentences), length), bool)
        # Halves of a character, which JSON can hold and no UTF-8 text can, become "?".
        whole = [sentence.encode("utf-8", "replace").decode("utf-8") for sentence in sentences]
        for row, encoded in enumerate(self._tokenizer.encode_batch(whole)):
            tokens = [self._ids[BEGIN], *encoded.ids][:length]
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return Tokens(ids, mask)

    def encode_answers(self, answers: Sequence[str], length: int) -> Tokens:
        """The same of answers, each with [SEP] at its end unless it was cut."""
        return self.encode([answer + ANSWER_END for answer in answers], length)


def _read(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a vocabulary ({error})") from error
    # At "\n" alone: BERT's own holds pieces that Python takes for the end of a line.
    pieces = text.removesuffix("\n").split("\n")
    if len(pieces) < len(SPECIAL):
        raise InputError(f"{path}: {len(pieces)} lines: expected a vocabulary, one piece a line")
    return pieces


def _tokenizer(ids: dict[str, int]) -> Any:
    """BERT's uncased pipeline of the `tokenizers` library, which adds no token by itself."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordPiece(vocab=ids, unk_token=UNKNOWN, max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Found before the text is lower-cased.
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
