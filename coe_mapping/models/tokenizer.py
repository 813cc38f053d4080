"""Text to token ids and back, for each kind of file that brings a vocabulary."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from coe_mapping.models.gguf_file import fields, open_gguf
from coe_mapping.models.hugging_face import read_json
from coe_mapping.models.model import ModelError

SPACE = "\u2581"  # how SentencePiece writes a space
BYTES_BEFORE = 3  # unknown, start and end come before the 256 single bytes
CONTROL = 3  # token type of GGUF
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class Tokenizer(Protocol):
    """``encode`` puts the start token first where the model wants one; ``stops`` are the ids that end an answer."""

    @property
    def stops(self) -> frozenset[int]: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class LibraryTokenizer:
    """A tokenizer of the ``tokenizers`` package; ``start`` is put first, if it is not None."""

    library: tokenizers.Tokenizer
    start: int | None
    stops: frozenset[int]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.library.encode(text).ids
        return ids if self.start is None else [self.start, *ids]

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.library.decode(list(ids))
        return text


@dataclass(frozen=True)
class PieceTokenizer:
    """SentencePiece's byte-pair merging: letters first, then again and again the adjacent pair of the best score.

    Source: llama2.c, ``run.c``, and llama.cpp's ``llm_tokenizer_spm``. Pieces hold plain spaces.
    """

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    start: int
    stops: frozenset[int]

    def encode(self, text: str) -> list[int]:
        ids = {piece: i for i, piece in reversed(list(enumerate(self.pieces)))}
        tokens: list[int] = []
        for letter in f" {text}" if text else "":
            if letter in ids:
                tokens.append(ids[letter])
            else:
                tokens += [byte + BYTES_BEFORE for byte in letter.encode()]
        while (best := self._best_pair(tokens, ids)) is not None:
            merged, at = best
            tokens[at : at + 2] = [merged]
        return [self.start, *tokens]

    def decode(self, ids: Sequence[int]) -> str:
        text = b"".join(self._bytes(i) for i in ids if i not in self.stops and i != self.start)
        return text.decode(errors="replace").removeprefix(" ")

    def _best_pair(self, tokens: list[int], ids: dict[str, int]) -> tuple[int, int] | None:
        """The merged piece and the place of the pair; the first of equals."""
        best: tuple[int, int] | None = None
        for at in range(len(tokens) - 1):
            merged = ids.get(self.pieces[tokens[at]] + self.pieces[tokens[at + 1]])
            if merged is not None and (best is None or self.scores[merged] > self.scores[best[0]]):
                best = merged, at
        return best

    def _bytes(self, token: int) -> bytes:
        piece = self.pieces[token]
        if len(piece) == 6 and piece.startswith("<0x"):
            return bytes([int(piece[3:5], 16)])
        return piece.encode()


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a checkpoint: a folder's ``tokenizer.json``, a GGUF's own, ``tokenizer.bin`` of llama2.c.

    Raises:
        ModelError: there is none, or one of a kind not supported.
    """
    if path.is_dir():
        return _hugging_face(path)
    if path.suffix == ".gguf":
        return _gguf(path)
    return read_llama2c_tokenizer(path.parent / "tokenizer.bin")


def read_llama2c_tokenizer(path: Path) -> PieceTokenizer:
    """``tokenizer.bin`` of llama2.c: the longest piece's length, then score, length and bytes of each piece.

    Raises:
        ModelError: the file is missing or truncated.
    """
    if not path.exists():
        raise ModelError(f"{path} is missing: llama2.c's tokenizer must lie beside the checkpoint")
    content, offset = path.read_bytes(), 4
    pieces: list[str] = []
    scores: list[float] = []
    while offset < len(content):
        if offset + 8 > len(content):
            raise ModelError(f"{path}: truncated in piece {len(pieces)}")
        score, length = struct.unpack_from("<fi", content, offset)
        piece = content[offset + 8 : offset + 8 + length]
        if length < 0 or len(piece) != length:
            raise ModelError(f"{path}: truncated in piece {len(pieces)}: expected {length} bytes, found {len(piece)}")
        pieces.append(piece.decode(errors="replace"))
        scores.append(score)
        offset += 8 + length
    return PieceTokenizer(tuple(pieces), tuple(scores), start=1, stops=frozenset({1, 2}))


def write_llama2c_tokenizer(tokenizer: PieceTokenizer, path: Path) -> None:
    """Writes ``tokenizer.bin``."""
    encoded = [piece.encode() for piece in tokenizer.pieces]
    with path.open("wb") as file:
        file.write(struct.pack("<i", max(map(len, encoded))))
        for piece, score in zip(encoded, tokenizer.scores, strict=True):
            file.write(struct.pack("<fi", score, len(piece)) + piece)


def _hugging_face(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.exists():
        also = "; tokenizer.model alone is not read" if (folder / "tokenizer.model").exists() else ""
        raise ModelError(f"{path} is missing{also}: save the tokenizer with transformers' save_pretrained")
    try:
        library = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing narrower
        raise ModelError(f"{path} cannot be read: {error}") from error
    ends = read_json(folder / "config.json").get("eos_token_id")
    stops = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return LibraryTokenizer(library, None, frozenset(stops))  # its own post-processor puts the start token


def _gguf(path: Path) -> Tokenizer:
    options = fields(open_gguf(path))
    try:
        kind = options["tokenizer.ggml.model"]
        if kind == "llama":
            return _gguf_pieces(options)
        if kind == "gpt2":
            return _gguf_bytes(options)
    except KeyError as error:
        raise ModelError(f"{path}: {error.args[0]!r} is missing") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    raise ModelError(f"{path}: tokenizer {kind!r} is not supported; 'llama' and 'gpt2' are")


def _gguf_pieces(options: dict[str, Any]) -> PieceTokenizer:
    pieces = tuple(piece.replace(SPACE, " ") for piece in options["tokenizer.ggml.tokens"])
    stops = frozenset({options["tokenizer.ggml.eos_token_id"]})
    return PieceTokenizer(
        pieces, tuple(options["tokenizer.ggml.scores"]), options["tokenizer.ggml.bos_token_id"], stops
    )


def _gguf_bytes(options: dict[str, Any]) -> LibraryTokenizer:
    """Byte-level BPE as GPT-2's, with the splitting that ``tokenizer.ggml.pre`` names."""
    tokens = options["tokenizer.ggml.tokens"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [_merge(merge, vocabulary) for merge in options["tokenizer.ggml.merges"]]
    library = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    library.pre_tokenizer = _splitting(options.get("tokenizer.ggml.pre", "default"))
    library.decoder = decoders.ByteLevel()
    types = options.get("tokenizer.ggml.token_type", [])
    library.add_special_tokens(
        [AddedToken(t, special=True) for t, k in zip(tokens, types, strict=False) if k == CONTROL]
    )
    start = options.get("tokenizer.ggml.bos_token_id") if options.get("tokenizer.ggml.add_bos_token") else None
    return LibraryTokenizer(library, start, frozenset({options["tokenizer.ggml.eos_token_id"]}))


def _merge(merge: str, vocabulary: dict[str, int]) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    for token in (left, right, left + right):
        if token not in vocabulary:  # the package would panic
            raise ModelError(f"the tokenizer's merge {merge!r} names the token {token!r}, which it does not have")
    return left, right


def _splitting(name: str) -> pre_tokenizers.PreTokenizer:
    if name in ("default", "gpt-2", "gpt2"):
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if name in ("llama-bpe", "llama3"):
        split = pre_tokenizers.Split(Regex(LLAMA_3), "isolated")
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    raise ModelError(f"tokenizer splitting {name!r} is not supported; default, smollm and llama-bpe are")
